"""The access log as a list."""

from identity.repository import Access


class MemoryAccessLog:
    """See `identity.repository.access_log`."""

    def __init__(self) -> None:
        super().__init__()
        self.accesses: list[Access] = []

    async def log_access(self, access: Access) -> None:
        """See the protocol."""
        self.accesses.append(access)
