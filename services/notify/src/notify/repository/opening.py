"""What stands in the place of something that was sealed and does not open; one such row must not hold up the others."""

from enum import Enum


class Unopened(Enum):
    """Why it does not open."""

    BROKEN = "BROKEN"
    """It was changed, or belongs to another row: it never will."""
    NO_KEY = "NO_KEY"
    """Sealed by a key that this process does not have; another one may, while keys are changed."""
