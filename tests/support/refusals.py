"""Why a call is refused."""

from collections.abc import Awaitable, Callable

import grpc

from kit.errors import reason_of

Attempt = Callable[[], Awaitable[object]]


async def refusal(attempt: Attempt) -> str | None:
    """The reason that an attempt is refused with; None if it is not."""
    try:
        await attempt()
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return None
