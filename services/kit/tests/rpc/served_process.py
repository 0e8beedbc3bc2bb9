"""A whole service process for the test of its stopping: `python served_process.py FOLDER`.

A request `wait` is answered only once the process drains, so an answer proves that draining waits for it. Every answer
comes through the batcher, so it also proves that the batcher is drained after the server.
"""

import asyncio
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from kit.batcher import MicroBatcher
from kit.clock import SystemClock
from kit.grpc_server import GrpcServer
from kit.health import Health
from kit.lifecycle import Application
from kit.observability import HttpProbes, configure_logging, get_logger
from kit.requests import MemoryOnce
from kit.testing_tls import Pki


def _conftest() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rpc_conftest", Path(__file__).with_name("conftest.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def _shout(requests: Sequence[str]) -> Sequence[str]:
    return [request.upper() for request in requests]


def main(folder: Path) -> int:
    rpc = _conftest()
    configure_logging("echo")
    pki = Pki(folder)
    tls, _ = pki.service("binding"), pki.institution("H65270100001")
    settings = rpc.Settings(
        grpc_address="127.0.0.1:0",
        tls_cert_file=tls.cert,
        tls_key_file=tls.key,
        institution_ca_file=pki.institution_ca_file,
        service_ca_file=pki.service_ca_file,
        jwks_file=rpc.jwks_file(folder, ed25519.Ed25519PrivateKey.generate()),
    )
    health, draining, echo = Health(), asyncio.Event(), rpc.Echo()
    batcher: MicroBatcher[str, str] = MicroBatcher(_shout, 10, 10)
    server = GrpcServer(
        settings,
        [(rpc.add_echo, echo, rpc.SERVICE)],
        rpc.ACCESS,
        SystemClock(),
        service_name="binding",
        once=MemoryOnce(),
    )
    probes = HttpProbes("127.0.0.1:0", health)

    async def do(request: Any, _context: Any) -> Any:
        if request.text == "wait":
            get_logger().info("waiting")
            await draining.wait()
        return rpc.ECHO.EchoResponse(text=await batcher.submit(request.text))

    async def announce() -> None:
        get_logger().info("listening", grpc=server.port, http=probes.port)

    async def drain() -> None:
        await server.drain()
        draining.set()

    echo.do = do
    app = Application(health)
    app.add("probes", probes.start, probes.stop)
    app.add("batcher", None, batcher.drain)
    app.add("grpc", server.start, server.stop)
    app.add("announcement", announce, None)
    app.on_draining(drain)
    return app.run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
