"""Proposals of changes of institutions in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from identity.domain.institution_change import ChangeState, InstitutionChange


@dataclass(frozen=True, slots=True)
class VersionedChange:
    """A proposal, and the institution's version now; 0 if it is not known."""

    change: InstitutionChange
    current_version: int


class InstitutionChangeRows(Protocol):
    """Proposals. The institution is always locked before its proposals."""

    async def add_change(self, change: InstitutionChange) -> None:
        """Keep a new proposal."""
        ...

    async def change(self, change_id: UUID) -> InstitutionChange | None:
        """The proposal, unlocked."""
        ...

    async def lock_change(self, change_id: UUID) -> InstitutionChange | None:
        """The proposal, locked."""
        ...

    async def save_decision(self, change: InstitutionChange) -> None:
        """Keep what was decided of a locked proposal."""
        ...

    async def changes(
        self, fixmedins_code: str | None, state: ChangeState | None, before: UUID | None, limit: int
    ) -> Sequence[VersionedChange]:
        """Proposals, newest first; `before` one of them, or from the newest."""
        ...
