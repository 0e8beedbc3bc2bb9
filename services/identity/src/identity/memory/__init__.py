"""The repository as dictionaries, for tests; the contract suite holds it to what PostgreSQL does."""

from identity.memory.access_log import MemoryAccessLog
from identity.memory.imports import MemoryImports
from identity.memory.institution_changes import MemoryInstitutionChanges
from identity.memory.remote_care import MemoryRemoteCare
from identity.memory.verifications import MemoryVerifications
from identity.memory.vouchers import MemoryVouchers
from kit.outbox import MemoryOutbox

__all__ = ["MemoryRepository"]


class MemoryRepository(
    MemoryImports, MemoryRemoteCare, MemoryVouchers, MemoryInstitutionChanges, MemoryAccessLog, MemoryVerifications
):
    """See `identity.repository.Repository`; one unit of work runs at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = MemoryOutbox("identity")
