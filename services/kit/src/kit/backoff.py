"""How long to wait before trying again."""

import random

FIRST_SECONDS = 0.2
MOST_SECONDS = 5.0


def backoff_seconds(
    failures: int, *, first_seconds: float = FIRST_SECONDS, most_seconds: float = MOST_SECONDS
) -> float:
    """Doubling with every failure up to `most_seconds`, with jitter so that replicas do not come back all at once."""
    highest_seconds = min(most_seconds, first_seconds * 2.0 ** min(max(failures - 1, 0), 30))
    return random.uniform(highest_seconds / 2, highest_seconds)  # noqa: S311 - jitter, no secret
