"""Proposals of changes of institutions as a dictionary."""

from collections.abc import Sequence
from uuid import UUID

from identity.domain.institution import version_of
from identity.domain.institution_change import ChangeState, InstitutionChange
from identity.memory.institutions import MemoryInstitutions
from identity.repository import VersionedChange


class MemoryInstitutionChanges(MemoryInstitutions):
    """See `identity.repository.institution_changes`."""

    def __init__(self) -> None:
        super().__init__()
        self.kept_changes: dict[UUID, InstitutionChange] = {}

    async def add_change(self, change: InstitutionChange) -> None:
        """See the protocol."""
        self.kept_changes[change.change_id] = change

    async def change(self, change_id: UUID) -> InstitutionChange | None:
        """See the protocol."""
        return self.kept_changes.get(change_id)

    async def lock_change(self, change_id: UUID) -> InstitutionChange | None:
        """See the protocol."""
        return self.kept_changes.get(change_id)

    async def save_decision(self, change: InstitutionChange) -> None:
        """See the protocol."""
        self.kept_changes[change.change_id] = change

    async def changes(
        self, fixmedins_code: str | None, state: ChangeState | None, before: UUID | None, limit: int
    ) -> Sequence[VersionedChange]:
        """See the protocol."""
        found = [
            VersionedChange(one, version_of(self.institutions.get(one.proposed.fixmedins_code)))
            for one in sorted(self.kept_changes.values(), key=lambda change: change.change_id, reverse=True)
            if fixmedins_code in {None, one.proposed.fixmedins_code}
            and state in {None, one.state}
            and (before is None or one.change_id < before)
        ]
        return found[:limit]
