"""Statements of enrolment as they were recorded, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from identity.domain.enrolment import Enrolment


@dataclass(frozen=True, slots=True)
class RecordedEnrolment:
    """One statement of a person's enrolment and when it was recorded."""

    position: int
    """From 1, in the order of recording."""
    enrolment: Enrolment
    recorded_at: datetime
    """By the database's own clock."""


class EnrolmentRows(Protocol):
    """What was ever recorded of enrolments. They are written with the person."""

    async def enrolments_recorded(self, psn_no: str, before: int | None, limit: int) -> Sequence[RecordedEnrolment]:
        """A person's statements, newest first; `before` a position, or from the newest."""
        ...
