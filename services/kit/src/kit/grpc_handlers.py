"""The four shapes of a gRPC method, each as one coroutine from raw bytes to raw bytes.

The servicer's own method keeps its ordinary form: an async function for one answer, an async generator for a stream.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message

from kit import auth
from kit.requests import Once

# Texts, because gRPC's own classes are generic only in their stubs.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Work = Callable[[Any, Context], Awaitable[bytes | None]]
"""Takes raw bytes (a stream is read from the context), returns raw bytes (None for a stream, which it has written)."""
Read = Callable[[bytes], Message]
"""From the bytes of one message to a valid one; raises to refuse the call. `kit.validation.Reader` is one."""
Write = Callable[[Any], bytes]
Accept = Callable[[], Awaitable[None]]
"""Asked once the (first) request is read and valid, before the servicer sees it; raises to refuse the call."""


class ServicerError(Exception):
    """A servicer's method has a form that cannot be served; a fault in the code, found at start."""


async def _accept_all() -> None:
    pass


def work_of(method: str, handler: Handler, read: Read, accept: Accept = _accept_all, once: Once | None = None) -> Work:
    """The work of a generated handler: read, validate, accept, call the servicer, write; each request `once` if given.

    Raises:
        ServicerError: the servicer's method is not asynchronous.
    """
    servicer_method: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    streaming = bool(handler.response_streaming)
    fits = inspect.isasyncgenfunction if streaming else inspect.iscoroutinefunction
    if not fits(servicer_method):
        raise ServicerError(f"{method} must be written as an async {'generator' if streaming else 'function'}")
    write: Any = handler.response_serializer
    if once is not None:
        return _unary_once(servicer_method, read, write, accept, once)
    return _WORK[bool(handler.request_streaming), streaming](servicer_method, read, write, accept)


def handler_of(like: Handler, serve: Work) -> Handler:
    """A handler of raw bytes of the same shape as `like`."""
    makers: dict[tuple[bool, bool], Callable[..., Handler]] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return makers[bool(like.request_streaming), bool(like.response_streaming)](serve)


def _unary_unary(method: Callable[..., Awaitable[Any]], read: Read, write: Write, accept: Accept) -> Work:
    async def work(raw: bytes, context: Context) -> bytes:
        request = read(raw)
        await accept()
        return write(await method(request, context))

    return work


def _unary_once(method: Callable[..., Awaitable[Any]], read: Read, write: Write, accept: Accept, once: Once) -> Work:
    async def work(raw: bytes, context: Context) -> bytes:
        request = read(raw)

        async def answer() -> bytes:
            await accept()
            return write(await method(request, context))

        return await once(auth.current(), request, answer)

    return work


def _unary_stream(method: Callable[..., AsyncGenerator[Any, None]], read: Read, write: Write, accept: Accept) -> Work:
    async def work(raw: bytes, context: Context) -> None:
        request = read(raw)
        await accept()
        async with aclosing(method(request, context)) as answers:
            async for answer in answers:
                await context.write(write(answer))

    return work


def _stream_unary(method: Callable[..., Awaitable[Any]], read: Read, write: Write, accept: Accept) -> Work:
    async def work(_incoming: object, context: Context) -> bytes:
        async with aclosing(_each(context, read, accept)) as requests:
            return write(await method(requests, context))

    return work


def _stream_stream(method: Callable[..., AsyncGenerator[Any, None]], read: Read, write: Write, accept: Accept) -> Work:
    async def work(_incoming: object, context: Context) -> None:
        async with (
            aclosing(_each(context, read, accept)) as requests,
            aclosing(method(requests, context)) as answers,
        ):
            async for answer in answers:
                await context.write(write(answer))

    return work


async def _each(context: Context, read: Read, accept: Accept) -> AsyncGenerator[Message, None]:
    # A read that is under way is left to itself when the call's deadline ends the work: gRPC's core still writes its
    # result, and cancelling would free the memory that it writes to.
    accepted = False
    while (raw := await asyncio.shield(asyncio.ensure_future(context.read()))) is not grpc.aio.EOF:
        request = read(raw)
        if not accepted:
            await accept()
            accepted = True
        yield request


_WORK: dict[tuple[bool, bool], Callable[[Callable[..., Any], Read, Write, Accept], Work]] = {
    (False, False): _unary_unary,
    (False, True): _unary_stream,
    (True, False): _stream_unary,
    (True, True): _stream_stream,
}
