"""A whole process, told to stop by a signal."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import grpc
import pytest

from kit.grpc_client import TlsFiles, call, secure_channel

SCRIPT = Path(__file__).with_name("served_process.py")
ONE = "/kit.test.v1.EchoService/One"


class Served:
    """The process and what it has logged so far."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process = process
        self.tls = TlsFiles(folder / "H65270100001.crt", folder / "H65270100001.key", folder / "services-ca.crt")

    async def line(self, event: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        while raw := await asyncio.wait_for(self.process.stdout.readline(), 20):
            line: dict[str, Any] = json.loads(raw)
            if line["event"] == event:
                return line
        raise AssertionError(f"the process ended without saying {event}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_calls_under_way_finish_and_ends_with_status_0(
    tmp_path: Path, number: signal.Signals, echo: Any
) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, SCRIPT, tmp_path, stdout=PIPE)
    try:
        served = Served(process, tmp_path)
        port = (await served.line("listening"))["grpc"]
        await served.line("serving")
        async with secure_channel(f"127.0.0.1:{port}", served.tls) as channel:
            one: Any = channel.unary_unary(
                ONE,
                request_serializer=echo.EchoRequest.SerializeToString,
                response_deserializer=echo.EchoResponse.FromString,
            )
            under_way = asyncio.ensure_future(call(one, echo.EchoRequest(text="wait"), 10.0))
            await served.line("waiting")
            process.send_signal(number)
            await served.line("stopping")
            assert (await under_way).text == "WAIT"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _until_refused(one, echo)
        # Which of the two depends on whether the call crossed with the closing of the connection.
        assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        assert (await served.line("stopped"))["failed"] is False
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _until_refused(one: Any, echo: Any) -> None:
    while True:
        await call(one, echo.EchoRequest(text="again"), 5.0)
