"""What receivers can do to a request, and where a request cannot be made to go."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import receiver as on
from support.receiver import receiver

from kit.clock import Elapsed, FixedClock
from kit.testing import eventually
from kit.testing_tls import Authority
from notify.domain.webhook_address import PortRange, Reach, parse_networks
from notify.domain.webhooks import Outcome, Result
from notify.webhooks.client import HttpClient

ALL_PORTS = (PortRange(1, 65_535),)
LOOPBACK = Reach(ALL_PORTS, parse_networks("127.0.0.0/8"), allows_http=True)
PUBLIC_ONLY = Reach(ALL_PORTS, (), allows_http=True)
AT = datetime(2025, 6, 10, 2, 0, tzinfo=UTC)


@asynccontextmanager
async def client(
    reach: Reach = LOOPBACK, timeout_seconds: float = 5.0, ca_file: Path | None = None, connections: int = 10
) -> AsyncIterator[HttpClient]:
    made = HttpClient(reach, timeout_seconds, connections, FixedClock(AT), ca_file)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def post(made: HttpClient, url: str) -> Outcome:
    return await made.post(url, {"webhook-id": "1", "content-type": "application/json"}, b'{"a":1}')


async def test_a_request_comes_as_it_was_sent() -> None:
    async with client() as made, receiver() as there:
        assert await post(made, f"{there.url}?token=a%20b") == Outcome(Result.DELIVERED, 204)
    (came,) = there.received
    assert (came.path, came.body) == ("/hook?token=a%20b", b'{"a":1}')
    assert came.headers["webhook-id"] == "1"
    assert "cookie" not in came.headers


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
async def test_what_is_answered_with_2xx_is_delivered(code: int) -> None:
    async with client() as made, receiver() as there:
        there.answers.append(on.status(code, body=b""))
        assert await post(made, there.url) == Outcome(Result.DELIVERED, code)


@pytest.mark.parametrize("code", [300, 304, 400, 401, 404, 410, 429, 500, 502, 503, 599])
async def test_what_is_answered_with_another_status_is_not(code: int) -> None:
    async with client() as made, receiver() as there:
        there.answers.append(on.status(code, body=b""))
        assert await post(made, there.url) == Outcome(Result.REFUSED, code)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(code: int) -> None:
    async with client() as made, receiver() as there, receiver() as elsewhere:
        there.answers.append(on.status(code, f"location: {elsewhere.url}\r\n"))
        assert await post(made, there.url) == Outcome(Result.REFUSED, code)
        assert elsewhere.connections == 0


async def test_a_cookie_is_not_sent_back() -> None:
    async with client() as made, receiver() as there:
        there.answers.append(on.status(200, "set-cookie: a=b; path=/\r\n"))
        await post(made, there.url)
        await post(made, there.url)
    assert "cookie" not in there.received[1].headers


async def test_a_receiver_says_how_long_it_wants_to_be_left_alone() -> None:
    async with client() as made, receiver() as there:
        there.answers.append(on.status(429, "retry-after: 120\r\n"))
        assert await post(made, there.url) == Outcome(Result.REFUSED, 429, timedelta(seconds=120))


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("Tue, 10 Jun 2025 02:01:00 GMT", timedelta(seconds=60)),
        ("9" * 400, timedelta(hours=24)),
        ("soon", None),
        ("Mon, 9999999999999999999999 Jan 2027 00:00:00 GMT", None),
        ("Mon, 04 Jan 2027 00:00:00 +99999999999999999999", None),
    ],
)
async def test_what_it_says_is_bounded_and_nonsense_is_nothing(stated: str, expected: timedelta | None) -> None:
    async with client() as made, receiver() as there:
        there.answers.append(on.status(503, f"retry-after: {stated}\r\n"))
        assert await post(made, there.url) == Outcome(Result.REFUSED, 503, expected)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (on.cut, Outcome(Result.UNREACHABLE)),
        (on.no_http, Outcome(Result.NOT_HTTP)),
        (on.endless_head, Outcome(Result.NOT_HTTP)),
        (on.cut_in_the_body, Outcome(Result.DELIVERED, 200)),
        (on.endless_body, Outcome(Result.DELIVERED, 200)),
        (on.status(200, body=b"x" * 1_000_000), Outcome(Result.DELIVERED, 200)),
        (on.status(200, "content-encoding: gzip\r\n", b"no gzip"), Outcome(Result.DELIVERED, 200)),
    ],
)
async def test_whatever_a_receiver_answers_is_an_outcome_and_the_next_request_goes_well(
    answer: on.Answer, expected: Outcome
) -> None:
    async with client() as made, receiver() as there:
        there.answers.append(answer)
        assert await post(made, there.url) == expected
        assert await post(made, there.url) == Outcome(Result.DELIVERED, 204)


@pytest.mark.parametrize("answer", [on.silence, on.trickle])
async def test_a_receiver_that_takes_too_long_is_not_waited_for(answer: on.Answer) -> None:
    async with client(timeout_seconds=0.5) as made, receiver() as there:
        there.answers.append(answer)
        taken = Elapsed()
        assert await post(made, there.url) == Outcome(Result.TIMED_OUT)
        assert taken.seconds < 5


async def test_a_receiver_that_is_not_there_is_unreachable() -> None:
    async with client() as made, receiver() as there:
        pass
    async with client() as made:
        assert await post(made, there.url) == Outcome(Result.UNREACHABLE)
        assert await post(made, "http://nowhere.invalid/") == Outcome(Result.UNREACHABLE)


async def test_a_short_answer_keeps_the_connection_for_the_next_request() -> None:
    async with client() as made, receiver() as there:
        for _ in range(5):
            await post(made, there.url)
        assert there.connections == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_our_own_network_is_not_reached_by_address_or_by_name(host: str) -> None:
    async with client(PUBLIC_ONLY) as made, receiver() as there:
        assert await post(made, f"http://{host}:{there.port}/") == Outcome(Result.ADDRESS_REFUSED)
        assert there.connections == 0


async def test_a_name_that_leads_inside_since_it_was_looked_at_is_refused_when_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with receiver() as there:
        inside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", there.port))]

        def resolved(*_args: Any, **_options: Any) -> Any:
            return inside

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        async with client(PUBLIC_ONLY) as made:
            outcome = await post(made, f"http://his.example.com:{there.port}/")
        assert outcome == Outcome(Result.ADDRESS_REFUSED)
        async with client(LOOPBACK) as made:
            outcome = await post(made, f"http://his.example.com:{there.port}/")
        assert outcome == Outcome(Result.DELIVERED, 204)
        assert there.connections == 1


async def test_of_a_name_with_several_addresses_those_inside_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver() as there, receiver(host="127.0.0.2") as secret:
        both = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", secret.port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", there.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: both)
        async with client(Reach(ALL_PORTS, parse_networks("127.0.0.1/32"), allows_http=True)) as made:
            assert await post(made, "http://his.example.com/") == Outcome(Result.DELIVERED, 204)
        assert (there.connections, secret.connections) == (1, 0)


async def test_names_that_nobody_answers_for_hold_up_neither_other_receivers_nor_the_rest_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, may_end, asked = socket.getaddrinfo, threading.Event(), []

    def resolved(host: str, *args: Any, **options: Any) -> list[Any]:
        if host.endswith(".example.com"):
            asked.append(host)
            may_end.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")
        return known(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    try:
        async with client(connections=40) as made, receiver() as there:
            slow = [asyncio.create_task(post(made, f"http://a{place}.example.com/")) for place in range(39)]
            await eventually(lambda: len(asked) == 39)
            async with asyncio.timeout(5):
                await asyncio.get_running_loop().getaddrinfo("localhost", 80)
                assert (await post(made, f"http://localhost:{there.port}/")).is_delivered
            may_end.set()
            assert {outcome.result for outcome in await asyncio.gather(*slow)} == {Result.UNREACHABLE}
    finally:
        may_end.set()


async def test_a_port_that_is_not_allowed_is_not_reached() -> None:
    async with receiver() as there:
        others = Reach((PortRange(there.port + 1, 65_535),), parse_networks("127.0.0.0/8"), allows_http=True)
        async with client(others) as made:
            assert await post(made, there.url) == Outcome(Result.ADDRESS_REFUSED)
        assert there.connections == 0


async def test_a_proxy_of_the_surroundings_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client() as made, receiver() as there, receiver() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert (await post(made, there.url)).is_delivered
        assert proxy.connections == 0


def tls_of(authority: Authority, folder: Path, host: str) -> ssl.SSLContext:
    certificate, key = authority.issue("receiver", [], [host])
    (folder / "receiver.crt").write_bytes(certificate)
    (folder / "receiver.key").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "receiver.crt", folder / "receiver.key")
    return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority("region")
    (tmp_path / "ca.crt").write_bytes(made.pem)
    return made


async def test_a_certificate_of_a_ca_that_the_region_names_is_trusted(authority: Authority, tmp_path: Path) -> None:
    tls = tls_of(authority, tmp_path, "127.0.0.1")
    async with client(ca_file=tmp_path / "ca.crt") as made, receiver(tls) as there:
        assert await post(made, there.url) == Outcome(Result.DELIVERED, 204)


async def test_a_certificate_of_an_unknown_ca_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    async with client() as made, receiver(tls_of(authority, tmp_path, "127.0.0.1")) as there:
        assert await post(made, there.url) == Outcome(Result.UNTRUSTED)
        assert there.received == []


async def test_a_certificate_for_another_host_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    tls = tls_of(authority, tmp_path, "other.example.com")
    async with client(ca_file=tmp_path / "ca.crt") as made, receiver(tls) as there:
        assert await post(made, there.url) == Outcome(Result.UNTRUSTED)
        assert there.received == []
