"""The echo ceiling of `make bench`: a server whose method does nothing, with messages as long as those of Settle.

`python -m bench.settle_echo BYTES [CERT KEY CA]` listens on a free port of the loopback, prints it, and answers every
call of /bench.Echo/Settle with so many bytes until it is ended. Raw bytes in and out, so that it is the transport alone
that is measured; with the three files it speaks mutual TLS.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc
import uvloop

METHOD: Final = "/bench.Echo/Settle"


def main(arguments: list[str]) -> None:
    """Serve until killed."""
    uvloop.run(_serve(bytes(int(arguments[0])), [Path(each) for each in arguments[1:]]))


async def _serve(answer: bytes, tls: list[Path]) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_answering(answer))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Settle": handler}),))
    if tls:
        cert, key, ca = (each.read_bytes() for each in tls)
        credentials = grpc.ssl_server_credentials([(key, cert)], root_certificates=ca, require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def _answering(answer: bytes) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def settle(request: bytes, context: Any) -> bytes:
        del request, context
        return answer

    return settle


if __name__ == "__main__":
    main(sys.argv[1:])
