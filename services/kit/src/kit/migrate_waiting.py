"""Waiting until somebody else has migrated the database: what a new pod does before it serves.

One that ended at once would be started again by the kubelet after ever longer pauses, five minutes at last, and would
look as if something were wrong with it.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from kit.clock import Elapsed

LOOK_EVERY_SECONDS: Final = 2.0


def until_applied(
    look: Callable[[], Sequence[str]],
    explain: Callable[[Exception], Exception | None],
    tell: Callable[[str], None],
    patience_seconds: float,
    *,
    pause: Callable[[float], None] = time.sleep,
    elapsed: Elapsed | None = None,
) -> Sequence[str]:
    """What is still to be applied when patience is at its end; nothing if all was applied before.

    Args:
        look: what is still to be applied.
        explain: the sentence for a database that cannot be used, which may come yet; None for any other failure.
        tell: given a line whenever it waits for something else.
        patience_seconds: how long to wait.
        pause: waits between two looks.
        elapsed: since it began.

    Raises:
        Exception: what `look` raised, at once if there is no sentence for it, else when patience is at its end.
    """
    began, told = elapsed or Elapsed(), ""
    while True:
        failure: Exception | None = None
        waiting: Sequence[str] = ()
        try:
            waiting = look()
            why = f"waiting for the migration {waiting[0]}" if waiting else ""
        except Exception as error:
            sentence = explain(error)
            if sentence is None:
                raise
            failure, why = error, f"waiting: {sentence}"
        if not why:
            return ()
        if began.seconds >= patience_seconds:
            if failure is not None:
                raise failure
            return waiting
        if why != told:
            tell(why)
            told = why
        pause(LOOK_EVERY_SECONDS)
