"""What a rule says when it refuses. The names of reasons are those of the platform's one vocabulary."""

from collections.abc import Mapping
from typing import ClassVar


class Refused(Exception):
    """A rule refuses; `reason` is a name of the vocabulary, `metadata` facts for the caller's program."""

    reason: ClassVar[str]

    def __init__(self, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.metadata: Mapping[str, str] = dict(metadata or {})


class NotFound(Refused):
    """There is nothing under that id."""

    reason = "NOT_FOUND"


class Forbidden(Refused):
    """The caller is known and may not do this to this object."""

    reason = "FORBIDDEN"


class StateForbids(Refused):
    """The application's or relation's state does not allow this step."""

    reason = "STATE_FORBIDS"
