"""The access log as a list."""

from collections.abc import Sequence

from identity.repository import Access, AccessFilter, LoggedAccess


class MemoryAccessLog:
    """See `identity.repository.access_log`."""

    def __init__(self) -> None:
        super().__init__()
        self.accesses: list[Access] = []

    async def log_access(self, access: Access) -> None:
        """See the protocol."""
        self.accesses.append(access)

    async def accesses_logged(self, wanted: AccessFilter, before: int | None, limit: int) -> Sequence[LoggedAccess]:
        """See the protocol."""
        lines = [LoggedAccess(line_id, access) for line_id, access in enumerate(self.accesses, start=1)]
        found = [one for one in reversed(lines) if _is_wanted(one.access, wanted)]
        return [one for one in found if before is None or one.line_id < before][:limit]


def _is_wanted(access: Access, wanted: AccessFilter) -> bool:
    about = wanted.psn_no is None or access.psn_no == wanted.psn_no
    by = wanted.caller is None or access.caller == wanted.caller
    late = wanted.since is None or access.occurred_at >= wanted.since
    early = wanted.until is None or access.occurred_at < wanted.until
    return about and by and late and early
