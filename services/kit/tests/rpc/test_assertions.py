"""Assertions about people: believed only from who may make them, for whom, by whom and when."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit import auth
from kit.auth.assertions import AssertionVerifier
from kit.auth.issuers import IssuersFileError
from kit.auth.principals import Principal
from kit.clock import FixedClock
from kit.errors import MAX_TEXT_CHARACTERS, Refusal, reason_of

PORTAL = Principal("service", "portal")
NOW = datetime(2025, 6, 1, 4, 0, tzinfo=UTC)
CLAIMS: dict[str, Any] = {
    "iss": "gongji-portal",
    "aud": "binding",
    "sub": "psn:65000001",
    "psn_no": "65000001",
    "roles": ["citizen"],
    "jti": "j-1",
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 300,
}
CLERK = {"iss": "gongji-operators", "sub": "clerk:wang", "psn_no": None, "roles": ["handler"]}


def token(key: Any, *, kid: str = "p1", **claims: Any) -> str:
    payload = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(payload, key, algorithm="EdDSA", headers={"kid": kid})


@pytest.fixture
def verifier(issuers_file: Path, clock: FixedClock) -> AssertionVerifier:
    return AssertionVerifier(issuers_file, "binding", clock)


def test_a_good_assertion_is_believed_in_full(verifier: AssertionVerifier, signing_key: Any) -> None:
    assert verifier.verify(token(signing_key), PORTAL) == auth.Assertion(
        subject="psn:65000001",
        roles=frozenset({"citizen"}),
        psn_no="65000001",
        issuer="gongji-portal",
        jti="j-1",
        expires_at=NOW + timedelta(minutes=5),
    )


def test_a_clerk_has_no_number(verifier: AssertionVerifier, signing_key: Any) -> None:
    clerk = verifier.verify(token(signing_key, kid="o1", **CLERK), PORTAL)
    assert (clerk.subject, clerk.psn_no, clerk.roles) == ("clerk:wang", None, frozenset({"handler"}))


def test_what_a_person_agrees_to_is_signed_with_it(verifier: AssertionVerifier, signing_key: Any) -> None:
    agreed = {"application_id": "a-1", "pledge_sha256": "0" * 64}
    shown = token(signing_key, consent=agreed)
    assertion = verifier.verify(shown, PORTAL)
    assert assertion.consent == auth.Consent("a-1", "0" * 64)
    assert assertion.token == shown
    assert shown not in repr(assertion)


SECONDS = int(NOW.timestamp())
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a consent that is a text": ({"consent": "yes"}, "consent is not"),
    "a consent without its text's hash": ({"consent": {"application_id": "a"}}, "consent is not"),
    "a consent with more in it": (
        {"consent": {"application_id": "a", "pledge_sha256": "b", "amount": "c"}},
        "consent is not",
    ),
    "a consent to a number": ({"consent": {"application_id": 7, "pledge_sha256": "b"}}, "something else than texts"),
    "an unknown issuer": ({"iss": "somebody"}, "issuer is not known"),
    "a missing issuer": ({"iss": None}, "issuer is not known"),
    "another issuer's key": ({"kid": "o1"}, "key id"),
    "another audience": ({"aud": "settlement"}, "another audience"),
    "several audiences": ({"aud": ["binding", "settlement"]}, "another audience"),
    "a missing audience": ({"aud": None}, "lacks aud"),
    "a missing subject": ({"sub": None}, "lacks sub"),
    "a missing jti": ({"jti": None}, "lacks jti"),
    "an empty jti": ({"jti": ""}, "jti is empty"),
    "a missing expiry": ({"exp": None}, "lacks exp"),
    "a missing issue time": ({"iat": None}, "lacks iat"),
    "an expiry that is a text": ({"exp": "soon"}, "not a time"),
    "an expiry beyond all time": ({"exp": 1e30}, "not a time"),
    "a life of more than five minutes": ({"exp": SECONDS + 301}, "longer than 5 minutes"),
    "an expiry in the past": ({"iat": SECONDS - 200, "exp": SECONDS - 5}, "expired"),
    "an expiry before the issue": ({"exp": SECONDS - 1, "iat": SECONDS}, "expired"),
    "an issue in the future": ({"iat": SECONDS + 6, "exp": SECONDS + 100}, "not yet valid"),
    "a start in the future": ({"nbf": SECONDS + 60}, "not yet valid"),
    "no roles": ({"roles": None}, "names no roles"),
    "empty roles": ({"roles": []}, "names no roles"),
    "roles as a text": ({"roles": "citizen"}, "names no roles"),
    "a role that its issuer may not give": ({"roles": ["citizen", "decider"]}, "may not give"),
    "a citizen without a number": ({"psn_no": None}, "lacks psn_no"),
    "a citizen with another's number": ({"psn_no": "65000002"}, "two persons"),
    "a subject of another kind": ({"sub": "65000001"}, "neither psn"),
    "a subject without a name": ({"sub": "psn:"}, "neither psn"),
    "a clerk who is called a citizen": ({"sub": "clerk:wang", "psn_no": None}, "citizens are psn"),
    "a person who is called a handler": ({"iss": "gongji-operators", "kid": "o1", "roles": ["handler"]}, "clerk"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_everything_else_is_unauthenticated(verifier: AssertionVerifier, signing_key: Any, case: str) -> None:
    claims, says = REFUSED[case]
    with pytest.raises(Refusal, match=says) as caught:
        verifier.verify(token(signing_key, **claims), PORTAL)
    assert caught.value.reason == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("moved", "believed"), [(304, True), (305, False), (-5, True), (-6, False), (86_400, False), (-86_400, False)]
)
def test_times_are_judged_by_the_injected_clock(
    verifier: AssertionVerifier, signing_key: Any, clock: FixedClock, moved: int, *, believed: bool
) -> None:
    clock.advance(timedelta(seconds=moved))
    if believed:
        verifier.verify(token(signing_key), PORTAL)
    else:
        with pytest.raises(Refusal):
            verifier.verify(token(signing_key), PORTAL)


@pytest.mark.parametrize(
    ("minutes", "says"),
    [
        (-10, "is not yet valid: it begins 600 s after this service's present, {}; do the clocks differ?"),
        (10, "has expired 300 s before this service's present, {}; do the clocks differ?"),
    ],
)
def test_whose_clock_is_off_by_minutes_is_told_by_how_much(
    verifier: AssertionVerifier, signing_key: Any, clock: FixedClock, minutes: int, says: str
) -> None:
    shown = token(signing_key)
    clock.advance(timedelta(minutes=minutes))
    with pytest.raises(Refusal) as caught:
        verifier.verify(shown, PORTAL)
    told = f"the assertion {says.format(clock.now().strftime('%Y-%m-%dT%H:%M:%SZ'))}"
    assert caught.value.message == told
    assert len(told) <= MAX_TEXT_CHARACTERS


@pytest.mark.parametrize("caller", [Principal("service", "settlement"), Principal("institution", "portal")])
def test_an_assertion_is_bound_to_who_may_present_it(
    verifier: AssertionVerifier, signing_key: Any, caller: Principal
) -> None:
    with pytest.raises(Refusal, match="may not present"):
        verifier.verify(token(signing_key), caller)


def test_a_forged_signature_is_refused(verifier: AssertionVerifier) -> None:
    with pytest.raises(Refusal, match="signature"):
        verifier.verify(token(ed25519.Ed25519PrivateKey.generate()), PORTAL)


def test_no_other_algorithm_is_believed(verifier: AssertionVerifier, issuers_file: Path) -> None:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    unsigned = f"{part({'alg': 'none', 'kid': 'p1'})}.{part(CLAIMS)}."
    signed = f"{part({'alg': 'HS256', 'kid': 'p1'})}.{part(CLAIMS)}"
    public = json.loads(issuers_file.read_text())["issuers"]["gongji-portal"]["jwks"]["keys"][0]["x"].encode()
    mac = base64.urlsafe_b64encode(hmac.digest(public, signed.encode(), hashlib.sha256)).rstrip(b"=").decode()
    for forged in (unsigned, f"{signed}.{mac}"):
        with pytest.raises(Refusal):
            verifier.verify(forged, PORTAL)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_sent_is_refused_and_never_breaks(verifier: AssertionVerifier, text: str) -> None:
    for sent in (text, f"{text}.{text}.{text}", "x" * 5000):
        with pytest.raises(Refusal):
            verifier.verify(sent, PORTAL)


@given(st.dictionaries(st.sampled_from([*CLAIMS, "nbf"]), st.none() | st.integers() | st.text() | st.lists(st.text())))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_a_known_issuer_signs_is_believed_or_refused_and_never_breaks(
    verifier: AssertionVerifier, signing_key: Any, claims: dict[str, Any]
) -> None:
    payload = CLAIMS | claims
    try:
        sent = jwt.encode(payload, signing_key, algorithm="EdDSA", headers={"kid": "p1"})
    except (TypeError, jwt.PyJWTError):
        return  # the library itself does not sign such claims
    try:
        believed = verifier.verify(sent, PORTAL)
    except Refusal:
        return
    assert believed.subject == f"psn:{believed.psn_no}"


@pytest.mark.parametrize("content", ["", "{}", '{"issuers": {"a": {}}}', '{"issuers": []}', "[1]"])
def test_an_issuers_file_of_another_form_is_named_with_the_form_that_is_wanted(tmp_path: Path, content: str) -> None:
    file = tmp_path / "issuers.json"
    file.write_text(content)
    with pytest.raises(IssuersFileError, match=rf"{file}.*must look like"):
        AssertionVerifier(file, "binding", FixedClock(NOW))


async def for_people(running: Any, tls: Any, *assertion: str) -> grpc.aio.AioRpcError | str:
    metadata = tuple(("x-gongji-assertion", one) for one in assertion)
    async with running.channel(tls) as channel:
        method = running.method(channel, "ForPeople")
        try:
            answer = await method(running.messages.EchoRequest(text="x"), timeout=5, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error
    return str(answer.text)


async def test_people_come_through_the_portal_with_an_assertion(serve: Any) -> None:
    known: list[auth.Assertion] = []

    async def look(_request: Any, _context: Any) -> None:
        known.append(auth.require_assertion())

    async with serve() as running:
        running.echo.do = look
        assert await for_people(running, running.pki.service("portal"), token(running.signing_key)) == "x"
    assert known[0].psn_no == "65000001"


async def test_without_an_assertion_the_portal_is_told_to_send_one(serve: Any) -> None:
    async with serve() as running:
        error = await for_people(running, running.pki.service("portal"))
    assert isinstance(error, grpc.aio.AioRpcError)
    assert reason_of(error) == "UNAUTHENTICATED"
    assert "x-gongji-assertion" in str(error.details())


async def test_a_person_with_another_role_is_forbidden(serve: Any) -> None:
    async with serve() as running:
        clerk = token(running.signing_key, kid="o1", **CLERK)
        error = await for_people(running, running.pki.service("portal"), clerk)
    assert isinstance(error, grpc.aio.AioRpcError)
    assert reason_of(error) == "FORBIDDEN"


async def test_a_bad_assertion_is_refused_even_where_none_is_needed(serve: Any) -> None:
    async with serve() as running, running.channel(running.pki.service("settlement")) as channel:
        metadata = (("x-gongji-assertion", "forged"),)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.method(channel, "One")(running.messages.EchoRequest(), timeout=5, metadata=metadata)
    assert reason_of(caught.value) == "UNAUTHENTICATED"


async def test_an_assertion_can_be_good_for_one_use(serve: Any) -> None:
    used: set[str] = set()

    async def once(method: str, assertion: auth.Assertion) -> None:
        assert method.endswith("/ForPeople")
        if assertion.jti in used:
            raise Refusal("UNAUTHENTICATED", "this assertion was used before")
        used.add(assertion.jti)

    async with serve(use_once=once) as running:
        sent, portal = token(running.signing_key), running.pki.service("portal")
        assert await for_people(running, portal, sent) == "x"
        error = await for_people(running, portal, sent)
    assert isinstance(error, grpc.aio.AioRpcError)
    assert error.details() == "this assertion was used before"
