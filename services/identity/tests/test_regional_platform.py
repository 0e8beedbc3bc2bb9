"""The regional platform when it is unwell: every failure is told as one, within the time there is, and says nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from identity.domain.refusals import RegistryUnavailable
from identity.platform_access import SIGNATURE, by_signature, by_token
from identity.regional_platform import Patience, RegionalPlatform, client
from identity.testing import NAME, credential_keyring, identity_card
from identity.testing_platform import (
    Behaviour,
    TestPlatform,
    answers,
    cuts,
    drips,
    floods,
    hangs,
)
from kit.circuit import CircuitBreaker
from kit.clock import Elapsed
from kit.errors import Refusal
from kit.signing import TokenSigner
from kit.testing import eventually
from kit.testing_tls import Authority, Pki

CARD = identity_card()
QUICK = Patience(
    total_seconds=1.0, connect_seconds=0.5, attempt_seconds=0.25, first_pause_seconds=0.01, most_pause_seconds=0.1
)
MATCH = answers(200, {"result": "MATCH", "psn_no": "P1"})
UNUSABLE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"MATCH"',
    b"\xff\xfe",
    b"[" * 10_000,
    {"result": "match", "psn_no": "P1"},
    {"result": "MATCH"},
    {"result": "MATCH", "psn_no": ""},
    {"result": "MATCH", "psn_no": 7},
    {"result": "MATCH", "psn_no": None},
    {"result": "MATCH", "psn_no": "P" * 31},
    {"result": "MATCH", "psn_no": "P1\n"},
    {"psn_no": "P1"},
]


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.fixture
async def platform(pki: Pki) -> AsyncIterator[TestPlatform]:
    async with TestPlatform(pki.service("platform")) as serving:
        serving.keep("P1", CARD.type, CARD.number, NAME)
        yield serving


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("a-token-of-the-platform\n")
    return path


@pytest.fixture
async def regional(platform: TestPlatform, pki: Pki, token: Path) -> AsyncIterator[RegionalPlatform]:
    breaker = CircuitBreaker(failures=1000)
    made = RegionalPlatform(platform.url, client(QUICK, pki.service_ca_file), by_token(token), QUICK, breaker)
    yield made
    await made.close()


async def unavailable(regional: RegionalPlatform) -> RegistryUnavailable:
    elapsed = Elapsed()
    with pytest.raises(RegistryUnavailable) as refused:
        await regional.psn_no_of(NAME, CARD)
    assert elapsed.seconds < QUICK.total_seconds + 1.0
    assert refused.value.reason == "UNAVAILABLE"
    assert int(refused.value.metadata["retry_after_seconds"]) >= 1
    assert refused.value.__cause__ is None
    return refused.value


async def test_the_platform_is_told_name_type_and_number_and_who_asks(
    platform: TestPlatform, regional: RegionalPlatform
) -> None:
    assert await regional.psn_no_of(NAME, CARD) == "P1"
    (asked,) = platform.asked
    assert (asked.path, asked.told) == ("/check", {"psn_name": NAME, "psn_cert_type": "01", "certno": CARD.number})
    assert asked.headers["authorization"] == "Bearer a-token-of-the-platform"


async def test_a_new_token_is_used_without_a_restart(
    platform: TestPlatform, regional: RegionalPlatform, token: Path
) -> None:
    await regional.psn_no_of(NAME, CARD)
    await asyncio.to_thread(token.write_text, "another-token-of-the-platform")
    await regional.psn_no_of(NAME, CARD)
    assert platform.asked[-1].headers["authorization"] == "Bearer another-token-of-the-platform"


async def test_a_signature_is_of_this_body_and_never_the_same(platform: TestPlatform, pki: Pki, tmp_path: Path) -> None:
    keyring = credential_keyring(tmp_path)
    regional = RegionalPlatform(platform.url, client(QUICK, pki.service_ca_file), by_signature(keyring), QUICK)
    for _ in range(2):
        assert await regional.psn_no_of(NAME, CARD) == "P1"
    await regional.close()
    stated = [TokenSigner(keyring).verify(one.headers[SIGNATURE]).decode().split("\n") for one in platform.asked]
    assert {body for _, _, body in stated} == {hashlib.sha256(platform.asked[0].body).hexdigest()}
    assert len({nonce for _, nonce, _ in stated}) == 2


@pytest.mark.parametrize(
    "failure",
    [answers(500, b"oops"), answers(503, b""), answers(429, b""), answers(429, b"", retry_after="0"), cuts, hangs],
    ids=["500", "503", "429", "429 with Retry-After", "cut", "hangs"],
)
async def test_a_passing_failure_is_tried_again_and_not_noticed(
    platform: TestPlatform, regional: RegionalPlatform, failure: Behaviour
) -> None:
    platform.behaviours = [failure]
    assert await regional.psn_no_of(NAME, CARD) == "P1"
    assert len(platform.asked) == 2


@pytest.mark.parametrize("failure", [answers(500, b""), answers(429, b""), cuts], ids=["500", "429", "cut"])
async def test_a_lasting_failure_is_unavailable_after_a_bounded_number_of_attempts(
    platform: TestPlatform, regional: RegionalPlatform, failure: Behaviour
) -> None:
    platform.always = failure
    await unavailable(regional)
    assert len(platform.asked) == QUICK.attempts


@pytest.mark.parametrize("failure", [hangs, drips], ids=["hangs", "drips"])
async def test_a_platform_that_never_comes_to_an_end_is_given_up(
    platform: TestPlatform, regional: RegionalPlatform, failure: Behaviour
) -> None:
    platform.always = failure
    await unavailable(regional)


@pytest.mark.parametrize(
    "body", [*[answers(200, one) for one in UNUSABLE], floods], ids=[*[str(one)[:30] for one in UNUSABLE], "endless"]
)
async def test_an_answer_that_cannot_be_used_is_unavailable_at_once_and_no_mismatch(
    platform: TestPlatform, regional: RegionalPlatform, body: Behaviour
) -> None:
    platform.always = body
    await unavailable(regional)
    assert len(platform.asked) == 1


@pytest.mark.parametrize("status", [204, 301, 302, 400, 401, 403, 404, 422, 501])
async def test_any_other_status_is_unavailable_and_not_tried_again(
    platform: TestPlatform, regional: RegionalPlatform, status: int
) -> None:
    platform.always = answers(status, {"result": "MISMATCH"}, location="https://elsewhere.example/")
    await unavailable(regional)
    assert len(platform.asked) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_long_retry_after_is_passed_on_instead_of_waited_for(
    platform: TestPlatform, regional: RegionalPlatform, status: int
) -> None:
    platform.always = answers(status, b"", retry_after="120")
    assert (await unavailable(regional)).metadata["retry_after_seconds"] == "120"
    assert len(platform.asked) == 1


@pytest.mark.parametrize("stated", ["soon", "Mon, 04 Jan 2027 00:00:00 +99999999999999999999"])
async def test_a_retry_after_that_says_nothing_is_one_more_answer_without_it(
    platform: TestPlatform, regional: RegionalPlatform, stated: str
) -> None:
    platform.always = answers(503, b"", retry_after=stated)
    assert (await unavailable(regional)).metadata["retry_after_seconds"] == "1"


async def test_a_certificate_of_another_authority_is_not_believed(
    platform: TestPlatform, token: Path, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.crt"
    stranger.write_bytes(Authority("stranger").pem)
    for ca_file in (stranger, None):
        regional = RegionalPlatform(platform.url, client(QUICK, ca_file), by_token(token), QUICK)
        await unavailable(regional)
        await regional.close()
    assert platform.asked == []


async def test_a_certificate_for_another_host_is_not_believed(pki: Pki, token: Path) -> None:
    elsewhere = pki.files(pki.services, "elsewhere", [], ("elsewhere.example",))
    async with TestPlatform(elsewhere) as platform:
        regional = RegionalPlatform(platform.url, client(QUICK, pki.service_ca_file), by_token(token), QUICK)
        await unavailable(regional)
        await regional.close()
        assert platform.asked == []


class Ticks:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_a_platform_that_is_down_is_left_alone_then_asked_by_one_and_used_again(
    platform: TestPlatform, pki: Pki, token: Path
) -> None:
    ticks = Ticks()
    breaker = CircuitBreaker(failures=3, rest_seconds=10, ticks=ticks)
    regional = RegionalPlatform(platform.url, client(QUICK, pki.service_ca_file), by_token(token), QUICK, breaker)
    await platform.stop()
    await unavailable(regional)
    await platform.start()
    assert (await unavailable(regional)).metadata["retry_after_seconds"] == "10"
    assert platform.asked == []
    ticks.seconds = 10
    assert await regional.psn_no_of(NAME, CARD) == "P1"
    assert await regional.psn_no_of("李四", CARD) is None
    await regional.close()


async def test_requests_that_the_platform_objects_to_do_not_open_the_circuit(
    platform: TestPlatform, pki: Pki, token: Path
) -> None:
    breaker = CircuitBreaker(failures=1)
    regional = RegionalPlatform(platform.url, client(QUICK, pki.service_ca_file), by_token(token), QUICK, breaker)
    platform.behaviours = [answers(400, b""), answers(422, b"")]
    for _ in range(2):
        await unavailable(regional)
    assert await regional.psn_no_of(NAME, CARD) == "P1"
    await regional.close()


async def test_a_platform_that_only_drips_opens_the_circuit(platform: TestPlatform, pki: Pki, token: Path) -> None:
    breaker = CircuitBreaker(failures=3)
    regional = RegionalPlatform(platform.url, client(QUICK, pki.service_ca_file), by_token(token), QUICK, breaker)
    platform.always = drips
    await unavailable(regional)
    before = len(platform.asked)
    await unavailable(regional)
    assert len(platform.asked) == before
    await regional.close()


async def test_a_slow_platform_holds_no_more_than_a_bounded_number_of_calls(
    platform: TestPlatform, regional: RegionalPlatform
) -> None:
    platform.always = hangs
    waiting = [asyncio.ensure_future(regional.psn_no_of(NAME, CARD)) for _ in range(QUICK.most_in_flight)]
    await eventually(lambda: len(platform.asked) == QUICK.most_in_flight)
    with pytest.raises(Refusal) as refused:
        await regional.psn_no_of(NAME, CARD)
    assert refused.value.reason == "OVERLOADED"
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in ended} == {RegistryUnavailable}
    platform.always = None
    assert await regional.psn_no_of(NAME, CARD) == "P1"


@pytest.mark.parametrize("failure", [answers(500, b""), answers(400, b""), cuts, hangs, floods])
async def test_no_log_line_or_exception_tells_what_was_asked(
    platform: TestPlatform, regional: RegionalPlatform, failure: Behaviour
) -> None:
    platform.always = failure
    with capture_logs() as lines:
        refused = await unavailable(regional)
    told = repr((lines, refused, refused.metadata, refused.__context__))
    assert [line["event"] for line in lines] == ["the real-name check is unavailable"]
    assert all(secret not in told for secret in (NAME, CARD.number, "a-token", "P1"))


async def test_outcomes_are_counted(platform: TestPlatform, regional: RegionalPlatform) -> None:
    def count(outcome: str) -> float:
        return REGISTRY.get_sample_value("gongji_identity_real_name_requests_total", {"outcome": outcome}) or 0.0

    before = {outcome: count(outcome) for outcome in ("MATCH", "MISMATCH", "UNAVAILABLE")}
    await regional.psn_no_of(NAME, CARD)
    await regional.psn_no_of("李四", CARD)
    platform.always = answers(400, b"")
    await unavailable(regional)
    assert {outcome: count(outcome) - before[outcome] for outcome in before} == dict.fromkeys(before, 1.0)
