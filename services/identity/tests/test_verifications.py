"""Registering with a one-time code, as a caller meets it, on a repository in memory."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from gongji.identity.events.v1 import events_pb2
from gongji.identity.v1 import person_pb2
from identity.domain.attempts import AttemptKind
from identity.domain.person import Registration
from identity.domain.refusals import (
    CertificateInvalid,
    Deceased,
    IdentityRefusal,
    NotEntitled,
    RealNameMismatch,
    RegistryUnavailable,
)
from identity.domain.verification import LIFETIME
from identity.main import Registering
from identity.testing import (
    ADULT,
    CHILD,
    NAME,
    NOW,
    TEL,
    TODAY,
    Bench,
    call_as_citizen,
    identity_number,
    person,
)
from kit.errors import InvalidFields

HOUR = timedelta(hours=1)


def card(sequence: int = 1, brdy: Any = ADULT) -> person_pb2.PersonCertificate:
    return person_pb2.PersonCertificate(
        psn_cert_type=person_pb2.PERSON_CERTIFICATE_TYPE_IDENTITY_CARD, certno=identity_number(brdy, sequence)
    )


async def start(
    bench: Bench, certificate: person_pb2.PersonCertificate | None = None, name: str = NAME, caller: str = "new:1"
) -> person_pb2.StartVerificationResponse:
    call_as_citizen(caller.removeprefix("psn:") if caller.startswith("psn:") else None, caller)
    request = person_pb2.StartVerificationRequest(psn_name=name, certificate=certificate or card())
    return await bench.persons.StartVerification(request, None)


async def register(
    bench: Bench, verification_id: str = "", code: str = "", caller: str = "new:1", **changed: Any
) -> person_pb2.RegisterPersonResponse:
    call_as_citizen(caller.removeprefix("psn:") if caller.startswith("psn:") else None, caller)
    fields = {"psn_name": NAME, "certificate": card(), "verification_id": verification_id, "code": code, **changed}
    return await bench.persons.RegisterPerson(person_pb2.RegisterPersonRequest(**fields), None)


async def refused(attempt: Awaitable[object]) -> tuple[str, dict[str, str]]:
    with pytest.raises(IdentityRefusal) as refusal:
        await attempt
    return refusal.value.reason, dict(refusal.value.metadata)


def code_of(bench: Bench) -> str:
    return bench.sent_codes()[-1][1]


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def attempts(bench: Bench) -> list[AttemptKind]:
    return [attempt.kind for attempt in bench.repository.attempts]


def lines(bench: Bench) -> list[tuple[str, str, str, str | None]]:
    return [(one.operation, one.means, one.outcome, one.psn_no) for one in bench.repository.accesses]


async def test_a_code_goes_to_the_telephone_on_file_and_registers_its_owner(bench: Bench) -> None:
    bench.keep(person())
    started = await start(bench)
    assert started.masked_tel == "*******0000"
    assert started.expires_at.ToDatetime(tzinfo=NOW.tzinfo) == NOW + LIFETIME
    ((tel, code),) = bench.sent_codes()
    assert tel == TEL
    assert (await register(bench, started.verification_id, code)).psn_no == "P1"
    assert lines(bench) == [
        ("START_VERIFICATION", "CODE", "RECOGNISED", "P1"),
        ("REGISTER_PERSON", "CODE", "RECOGNISED", "P1"),
    ]


async def test_the_event_tells_psn_no_and_end_and_nothing_that_can_be_read(bench: Bench) -> None:
    bench.keep(person())
    started = await start(bench)
    (event,) = bench.repository.outbox.messages
    assert isinstance(event, events_pb2.VerificationCodeIssued)
    assert (event.psn_no, event.verification_id, event.sequence) == ("P1", started.verification_id, 1)
    assert event.purpose == events_pb2.VERIFICATION_PURPOSE_REGISTRATION
    assert event.expires_at == started.expires_at
    for secret in (TEL, code_of(bench), NAME, identity_number()):
        assert secret.encode() not in event.SerializeToString()
    assert bench.repository.outbox.rows[0].key == started.verification_id


async def test_an_adult_does_not_register_without_a_code(bench: Bench) -> None:
    bench.keep(person())
    assert await refused(register(bench)) == ("CODE_REQUIRED", {})
    assert bench.repository.persons["P1"].registration is None


@pytest.mark.parametrize(("verification_id", "code"), [(str(uuid4()), ""), ("", "123456")])
async def test_a_code_and_its_verification_go_together(bench: Bench, verification_id: str, code: str) -> None:
    with pytest.raises(InvalidFields):
        await register(bench, verification_id, code)


async def test_a_minor_is_registered_by_a_registered_adult_without_a_code(bench: Bench) -> None:
    bench.keep(person(registration=Registration(NOW, "P1")), person("P2", CHILD, 2))
    answer = await register(bench, caller="psn:P1", certificate=card(2, CHILD))
    assert answer.psn_no == "P2"
    assert bench.sent_codes() == []


async def test_nobody_gets_a_code_to_register_a_minor(bench: Bench) -> None:
    bench.keep(person("P2", CHILD, 2))
    with pytest.raises(NotEntitled):
        await start(bench, card(2, CHILD))
    assert bench.sent_codes() == []


async def test_somebody_logged_in_as_the_registered_person_hears_so_again_without_a_code(bench: Bench) -> None:
    bench.keep(person(registration=Registration(NOW, "P1")))
    assert (await register(bench, caller="psn:P1")).psn_no == "P1"


async def test_a_stranger_with_name_and_number_does_not_get_at_a_registered_person(bench: Bench) -> None:
    bench.keep(person(registration=Registration(NOW, "P1")))
    assert (await refused(register(bench)))[0] == "CODE_REQUIRED"


async def test_where_no_code_is_required_a_code_that_is_shown_is_checked_all_the_same(bench: Bench) -> None:
    usual = bench.registering()
    bench.serve(Registering(usual.registry, usual.seal, usual.bounds, code_required=False))
    bench.keep(person())
    assert (await refused(register(bench, str(uuid4()), "123456")))[0] == "VERIFICATION_INVALID"
    assert (await register(bench)).psn_no == "P1"


async def test_without_a_telephone_on_file_the_next_step_is_told(bench: Bench) -> None:
    bench.keep(person(tel=""))
    with pytest.raises(IdentityRefusal, match="counter") as refusal:
        await start(bench)
    assert refusal.value.reason == "PHONE_MISSING"
    assert bench.repository.verifications == {}


@pytest.mark.parametrize("registration", [None, Registration(NOW, "P1")])
async def test_no_code_is_sent_for_the_dead(bench: Bench, registration: Registration | None) -> None:
    bench.keep(person(died_on=TODAY, registration=registration))
    with pytest.raises(Deceased):
        await start(bench)


async def test_a_number_that_is_wrong_in_itself_is_no_attempt(bench: Bench) -> None:
    bad = card()
    bad.certno = bad.certno[:-1] + ("0" if bad.certno[-1] != "0" else "1")
    with pytest.raises(CertificateInvalid):
        await start(bench, bad)
    assert attempts(bench) == []


async def test_a_wrong_name_and_an_unknown_number_are_answered_counted_and_logged_alike(bench: Bench) -> None:
    bench.keep(person())
    told = []
    for certificate, name in ((card(), "李四"), (card(5), NAME)):
        with pytest.raises(RealNameMismatch) as refusal:
            await start(bench, certificate, name)
        told.append((refusal.value.reason, str(refusal.value), refusal.value.metadata))
    assert told == [told[0]] * 2
    assert attempts(bench) == [AttemptKind.MISMATCH] * 2
    assert lines(bench) == [("START_VERIFICATION", "REAL_NAME", "REAL_NAME_MISMATCH", None)] * 2


async def test_wrong_codes_are_counted_although_they_are_refused_and_the_fifth_is_the_last(bench: Bench) -> None:
    bench.keep(person())
    started = await start(bench)
    bad = wrong(code_of(bench))
    for left in "43210":
        assert await refused(register(bench, started.verification_id, bad)) == ("CODE_WRONG", {"tries_left": left})
    reason, metadata = await refused(register(bench, started.verification_id, code_of(bench)))
    assert (reason, metadata) == ("TOO_MANY_ATTEMPTS", {"retry_after_seconds": "3600"})
    assert attempts(bench) == [AttemptKind.CODE_SENT, *[AttemptKind.WRONG_CODE] * 5]
    assert lines(bench)[-2:] == [
        ("REGISTER_PERSON", "CODE", "CODE_WRONG", "P1"),
        ("REGISTER_PERSON", "CODE", "TOO_MANY_ATTEMPTS", "P1"),
    ]
    assert bench.repository.persons["P1"].registration is None


async def test_a_lock_out_ends_by_itself_and_being_told_so_does_not_prolong_it(bench: Bench) -> None:
    bench.keep(person())
    started = await start(bench)
    for _ in range(5):
        await refused(register(bench, started.verification_id, wrong(code_of(bench))))
    bench.clock.advance(HOUR - timedelta(seconds=1))
    assert (await refused(register(bench, started.verification_id, "000000")))[1] == {"retry_after_seconds": "1"}
    bench.clock.advance(timedelta(seconds=1))
    again = await start(bench)
    assert (await register(bench, again.verification_id, code_of(bench))).psn_no == "P1"


async def test_a_new_code_opens_no_more_guesses_in_the_hour(bench: Bench) -> None:
    bench.keep(person())
    for _ in range(2):
        started = await start(bench)
        for _ in range(2):
            await refused(register(bench, started.verification_id, wrong(code_of(bench))))
    started = await start(bench)
    assert (await refused(register(bench, started.verification_id, wrong(code_of(bench)))))[0] == "CODE_WRONG"
    assert (await refused(register(bench, started.verification_id, code_of(bench))))[0] == "TOO_MANY_ATTEMPTS"


async def test_five_codes_an_hour_are_sent_to_a_person_whoever_asks(bench: Bench) -> None:
    bench.keep(person())
    for number in range(5):
        await start(bench, caller=f"new:{number}")
    reason, metadata = await refused(start(bench, caller="new:9"))
    assert (reason, metadata) == ("TOO_MANY_ATTEMPTS", {"retry_after_seconds": "3600"})
    assert len(bench.sent_codes()) == 5
    bench.clock.advance(HOUR)
    await start(bench, caller="new:9")


async def test_twenty_codes_an_hour_are_sent_for_a_caller_whoever_gets_them(bench: Bench) -> None:
    bench.keep(*[person(f"P{number}", sequence=number) for number in range(1, 23)])
    for number in range(1, 21):
        await start(bench, card(number))
    assert (await refused(start(bench, card(21))))[0] == "TOO_MANY_ATTEMPTS"
    await start(bench, card(22), caller="new:2")


Way = Callable[[Bench, person_pb2.PersonCertificate, str, str], Awaitable[object]]


async def by_start(bench: Bench, certificate: person_pb2.PersonCertificate, name: str, caller: str) -> object:
    return await start(bench, certificate, name, caller)


async def by_register(bench: Bench, certificate: person_pb2.PersonCertificate, name: str, caller: str) -> object:
    return await register(bench, caller=caller, certificate=certificate, psn_name=name)


@pytest.mark.parametrize("way", [by_start, by_register])
async def test_names_are_guessed_five_times_an_hour_for_one_number_known_or_not(bench: Bench, way: Way) -> None:
    bench.keep(person())
    for certificate in (card(), card(5)):
        told = [await refused(way(bench, certificate, f"李{number}", f"new:{number}")) for number in range(6)]
        assert [reason for reason, _ in told] == ["REAL_NAME_MISMATCH"] * 5 + ["TOO_MANY_ATTEMPTS"]
    # The right name is not told from a wrong one either.
    assert (await refused(way(bench, card(), NAME, "new:9")))[0] == "TOO_MANY_ATTEMPTS"
    bench.clock.advance(HOUR)
    await start(bench)


@pytest.mark.parametrize("way", [by_start, by_register])
async def test_numbers_are_guessed_twenty_times_an_hour_by_one_caller(bench: Bench, way: Way) -> None:
    told = [await refused(way(bench, card(number), NAME, "new:1")) for number in range(1, 22)]
    assert [reason for reason, _ in told] == ["REAL_NAME_MISMATCH"] * 20 + ["TOO_MANY_ATTEMPTS"]


async def test_a_code_is_good_for_the_caller_who_asked_for_it_alone(bench: Bench) -> None:
    bench.keep(person())
    started = await start(bench)
    answer = await refused(register(bench, started.verification_id, code_of(bench), caller="new:2"))
    assert answer == ("VERIFICATION_INVALID", {})
    assert (await register(bench, started.verification_id, code_of(bench))).psn_no == "P1"


async def test_a_code_is_good_once_and_for_five_minutes(bench: Bench) -> None:
    bench.keep(person())
    started = await start(bench)
    bench.clock.set(NOW + LIFETIME)
    assert (await refused(register(bench, started.verification_id, code_of(bench))))[0] == "VERIFICATION_INVALID"
    bench.clock.set(NOW + LIFETIME - timedelta(seconds=1))
    await register(bench, started.verification_id, code_of(bench))
    assert (await refused(register(bench, started.verification_id, code_of(bench))))[0] == "VERIFICATION_INVALID"


async def test_a_code_of_one_person_registers_no_other(bench: Bench) -> None:
    bench.keep(person(), person("P2", sequence=2))
    started = await start(bench)
    answer = await refused(register(bench, started.verification_id, code_of(bench), certificate=card(2)))
    assert answer[0] == "VERIFICATION_INVALID"


class AwayRegistry:
    async def psn_no_of(self, name: str, certificate: object) -> str | None:
        del name, certificate
        raise RegistryUnavailable(7)


async def test_a_register_that_is_away_is_no_mismatch_and_counts_for_nobody(bench: Bench) -> None:
    usual = bench.registering()
    bench.serve(Registering(AwayRegistry(), usual.seal, usual.bounds, code_required=True))
    for attempt in (start(bench), register(bench)):
        assert await refused(attempt) == ("UNAVAILABLE", {"retry_after_seconds": "7"})
    assert (attempts(bench), lines(bench)) == ([], [])


class GoneRegistry:
    async def psn_no_of(self, name: str, certificate: object) -> str | None:
        del name, certificate
        return "P999"


async def test_whom_only_the_platform_knows_is_a_mismatch(bench: Bench) -> None:
    usual = bench.registering()
    bench.serve(Registering(GoneRegistry(), usual.seal, usual.bounds, code_required=True))
    assert (await refused(start(bench)))[0] == "REAL_NAME_MISMATCH"


async def test_old_verifications_of_the_same_person_are_forgotten(bench: Bench) -> None:
    bench.keep(person())
    first = await start(bench)
    bench.clock.advance(timedelta(days=2))
    second = await start(bench)
    assert [str(one) for one in bench.repository.verifications] == [second.verification_id]
    assert first.verification_id != second.verification_id
