"""What a test lets become of a process between two steps of settling: it dies there, or stands still until let go."""

import asyncio

from kit.failpoints import Boundary, Failpoints


class Crash(BaseException):
    """The process dies: nothing in it may take this for an error that it knows how to answer."""


class Dying(Failpoints):
    """Dies at a boundary, so many times; then it is as if another process went on."""

    def __init__(self, boundary: Boundary, times: int = 1) -> None:
        super().__init__()
        self._boundary = boundary
        self._times = times

    async def reach(self, boundary: Boundary) -> None:
        """See `Failpoints.reach`."""
        if boundary is self._boundary and self._times:
            self._times -= 1
            raise Crash(boundary)


class Pausing(Failpoints):
    """Stands still at a boundary until it is let go."""

    def __init__(self, boundary: Boundary) -> None:
        super().__init__()
        self._boundary = boundary
        self.arrived, self.go = asyncio.Event(), asyncio.Event()

    async def reach(self, boundary: Boundary) -> None:
        """See `Failpoints.reach`."""
        if boundary is self._boundary:
            self.arrived.set()
            await self.go.wait()
