"""Calling a method that is known by its descriptor alone, with bytes."""

from collections.abc import Sequence
from typing import Final

import grpc

from support.bad_requests import Rpc

TRIES: Final = 5
LOST: Final = "Internal error from Core"
"""What grpc.aio says instead of the server's answer where a stream is refused while it is still being sent.

The write that fails overwrites the status that had come (grpc/grpc#36066).
"""


async def call(channel: grpc.aio.Channel, rpc: Rpc, raw: bytes, metadata: Sequence[tuple[str, str]]) -> None:
    """Send these bytes and read what comes; once more where the client lost the answer.

    Raises:
        grpc.aio.AioRpcError: the call was refused.
    """
    for left in reversed(range(TRIES)):
        try:
            return await _once(channel, rpc, raw, metadata)
        except grpc.aio.AioRpcError as error:
            if not (left and rpc.client_streaming and error.details() == LOST):
                raise
    return None


async def _once(channel: grpc.aio.Channel, rpc: Rpc, raw: bytes, metadata: Sequence[tuple[str, str]]) -> None:
    # Without a serializer the channel takes bytes, which its types do not know.
    if rpc.client_streaming:
        await channel.stream_unary(rpc.path)(iter([raw]), timeout=30, metadata=metadata)  # type: ignore[arg-type]
    elif rpc.server_streaming:
        async for _ in channel.unary_stream(rpc.path)(raw, timeout=30, metadata=metadata):  # type: ignore[arg-type]
            pass
    else:
        await channel.unary_unary(rpc.path)(raw, timeout=30, metadata=metadata)  # type: ignore[arg-type]
