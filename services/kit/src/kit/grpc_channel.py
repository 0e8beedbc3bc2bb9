"""A channel whose certificates may be replaced: calls go through the newest, those under way end where they are."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Self

import grpc

from kit.followed import Followed

RETIRED_SECONDS: Final = 300.0
"""What is under way on a channel of before is given so long; as a server gives a connection that has become old."""


class FollowingChannel(grpc.aio.Channel):
    """Opens another channel when the files have changed. Belongs to the event loop that it is made on.

    Args:
        followed: what a channel is opened with.
        open_channel: opens one.
    """

    def __init__(
        self,
        followed: Followed[grpc.ChannelCredentials],
        open_channel: Callable[[grpc.ChannelCredentials], grpc.aio.Channel],
    ) -> None:
        self._followed = followed
        self._open_channel = open_channel
        self._credentials = followed.current()
        self._channel = open_channel(self._credentials)
        self._retired: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close it; also what is under way on channels of before is cancelled."""
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - gRPC's own
        """See gRPC."""
        return self._newest().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See gRPC."""
        await self._newest().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """See gRPC."""
        await self._newest().channel_ready()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """See gRPC."""
        return _Method(self._newest, lambda channel: channel.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """See gRPC."""
        return _Method(self._newest, lambda channel: channel.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """See gRPC."""
        return _Method(self._newest, lambda channel: channel.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """See gRPC."""
        return _Method(self._newest, lambda channel: channel.stream_stream(method, *args, **kwargs))

    def _newest(self) -> grpc.aio.Channel:
        credentials = self._followed.current()
        if credentials is not self._credentials:
            before, self._credentials = self._channel, credentials
            self._channel = self._open_channel(credentials)
            task = asyncio.create_task(before.close(RETIRED_SECONDS))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)
        return self._channel


class _Method:
    """A method of whichever channel is the newest when it is called."""

    __slots__ = ("_channel", "_method", "_newest", "_of")

    def __init__(self, newest: Callable[[], grpc.aio.Channel], of: Callable[[grpc.aio.Channel], Any]) -> None:
        self._newest = newest
        self._of = of
        self._channel = newest()
        self._method = of(self._channel)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        newest = self._newest()
        if newest is not self._channel:
            self._channel, self._method = newest, self._of(newest)
        return self._method(*args, **kwargs)
