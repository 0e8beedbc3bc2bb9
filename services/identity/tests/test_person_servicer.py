"""PersonService as a caller meets it, on a repository in memory."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest

from gongji.identity.events.v1 import events_pb2
from gongji.identity.v1 import person_pb2
from identity.domain.person import Registration
from identity.domain.refusals import CertificateInvalid, NotEntitled, PersonNotFound, RealNameMismatch
from identity.repository import RECOGNISED
from identity.testing import (
    ADULT,
    CARD_SN,
    CHILD,
    NAME,
    NOW,
    TEL,
    Bench,
    call_as_citizen,
    call_as_operator,
    enrolment,
    identity_number,
    person,
)
from kit.clock import SHANGHAI
from kit.errors import InvalidFields, Refusal

BOLE_MEMBER = person_pb2.Enrolment(
    insutype=person_pb2.INSURANCE_TYPE_EMPLOYEE,
    insuplc_admdvs="652701",
    psn_insu_stas=person_pb2.INSURANCE_STATUS_NORMAL,
    valid_from="2025-01-01",
)


def card(brdy: date = ADULT, sequence: int = 1) -> person_pb2.PersonCertificate:
    return person_pb2.PersonCertificate(
        psn_cert_type=person_pb2.PERSON_CERTIFICATE_TYPE_IDENTITY_CARD, certno=identity_number(brdy, sequence)
    )


def row(psn_no: str = "P1", brdy: date = ADULT, sequence: int = 1) -> person_pb2.InsuredRow:
    return person_pb2.InsuredRow(
        psn_no=psn_no,
        psn_name=NAME,
        certificate=card(brdy, sequence),
        brdy=brdy.isoformat(),
        tel=TEL,
        card_sn=f"{CARD_SN}{sequence}",
        enrolment=BOLE_MEMBER,
    )


async def load(bench: Bench, *messages: Sequence[person_pb2.InsuredRow]) -> person_pb2.ImportInsuredResponse:
    async def stream() -> AsyncIterator[person_pb2.ImportInsuredRequest]:
        for rows in messages:
            yield person_pb2.ImportInsuredRequest(batch_id="b1", rows=rows)

    call_as_operator()
    return await bench.persons.ImportInsured(stream(), None)


async def register(
    bench: Bench, caller: str | None, certificate: person_pb2.PersonCertificate, name: str = NAME
) -> person_pb2.RegisterPersonResponse:
    call_as_citizen(caller)
    request = person_pb2.RegisterPersonRequest(psn_name=name, certificate=certificate)
    if caller is None:  # an adult, in person
        start = person_pb2.StartVerificationRequest(psn_name=name, certificate=certificate)
        request.verification_id = (await bench.persons.StartVerification(start, None)).verification_id
        request.code = bench.sent_codes()[-1][1]
    return await bench.persons.RegisterPerson(request, None)


async def voucher(bench: Bench, caller: str | None, psn_no: str) -> person_pb2.IssueVoucherResponse:
    call_as_citizen(caller)
    return await bench.persons.IssueVoucher(person_pb2.IssueVoucherRequest(psn_no=psn_no, lifetime_seconds=60), None)


async def get(bench: Bench, psn_no: str) -> person_pb2.GetPersonResponse:
    return await bench.persons.GetPerson(person_pb2.GetPersonRequest(psn_no=psn_no), None)


async def test_an_import_counts_over_the_whole_stream(bench: Bench) -> None:
    bad = row("P9", sequence=9)
    bad.certificate.certno = identity_number()[:-2] + "00"
    impossible = row("P8", sequence=8)
    impossible.brdy = "2025-02-30"
    answer = await load(bench, [row(), bad], [row(), impossible, row("P2", sequence=2)])
    assert (answer.received_count, answer.changed_count, answer.unchanged_count, answer.refused_count) == (5, 2, 1, 2)
    assert [refused.row_number for refused in answer.refused] == [2, 4]
    assert "brdy is not a day" in answer.refused[1].description


async def test_an_import_describes_a_thousand_refused_rows_and_counts_all(bench: Bench) -> None:
    bad = row()
    bad.enrolment.valid_to = "2024-12-31"
    answer = await load(bench, *[[bad] * 400] * 3)
    assert (answer.refused_count, len(answer.refused), answer.refused[-1].row_number) == (1200, 1000, 1000)


async def test_two_batches_in_one_stream_are_refused(bench: Bench) -> None:
    async def stream() -> AsyncIterator[person_pb2.ImportInsuredRequest]:
        yield person_pb2.ImportInsuredRequest(batch_id="b1", rows=[row()])
        yield person_pb2.ImportInsuredRequest(batch_id="b2", rows=[row("P2", sequence=2)])

    call_as_operator()
    with pytest.raises(InvalidFields) as refused:
        await bench.persons.ImportInsured(stream(), None)
    assert refused.value.violations[0].field == "batch_id"
    assert set(bench.repository.persons) == {"P1"}


async def test_an_imported_person_is_told_of_before_registering(bench: Bench) -> None:
    await load(bench, [row()])
    event = bench.repository.outbox.messages[0]
    assert isinstance(event, events_pb2.EnrolmentChanged)
    assert (event.psn_no, event.sequence, event.enrolment) == ("P1", 1, BOLE_MEMBER)
    assert bench.repository.outbox.rows[0].key == "P1"


async def test_registering_gives_the_same_person_every_time_and_tells_once(bench: Bench) -> None:
    await load(bench, [row()])
    first = await register(bench, None, card())
    bench.clock.advance(timedelta(days=1))
    again = await register(bench, "P1", card(), f" {NAME.replace('·', '•')} ")
    assert first == again
    assert (first.psn_no, first.verified_at.ToDatetime(tzinfo=SHANGHAI)) == ("P1", NOW)
    *_, event = bench.repository.outbox.messages
    assert isinstance(event, events_pb2.PersonVerified)
    assert (event.psn_no, event.brdy, event.sequence) == ("P1", "1985-03-02", 2)


async def test_a_wrong_name_and_an_unknown_certificate_look_the_same(bench: Bench) -> None:
    await load(bench, [row()])
    answers = []
    for certificate, name in ((card(), "买买提·艾利"), (card(sequence=5), NAME)):
        with pytest.raises(RealNameMismatch) as refused:
            await register(bench, None, certificate, name)
        answers.append((refused.value.reason, str(refused.value), refused.value.metadata))
    assert answers[0] == answers[1]
    assert answers[0][0] == "REAL_NAME_MISMATCH"


async def test_a_number_that_is_wrong_in_itself_is_told_as_such(bench: Bench) -> None:
    wrong = card()
    wrong.certno = wrong.certno[:-2] + "00"
    with pytest.raises(CertificateInvalid):
        await register(bench, None, wrong)


async def test_an_adult_cannot_be_registered_by_another(bench: Bench) -> None:
    await load(bench, [row(), row("P2", sequence=2)])
    await register(bench, None, card())
    with pytest.raises(NotEntitled):
        await register(bench, "P1", card(sequence=2))
    assert bench.repository.persons["P2"].registration is None


async def test_a_caller_who_claims_an_unknown_number_registers_nobody(bench: Bench) -> None:
    await load(bench, [row()])
    with pytest.raises(NotEntitled):
        await register(bench, "P99", card())


async def test_a_parent_registers_a_child_and_gets_vouchers_for_it(bench: Bench) -> None:
    await load(bench, [row(), row("P2", CHILD, 2)])
    await register(bench, None, card())
    await register(bench, "P1", card(CHILD, 2))
    assert bench.repository.persons["P2"].registration == Registration(NOW, "P1")
    token = (await voucher(bench, "P1", "P2")).voucher
    assert len(token) == 43
    assert bench.repository.vouchers[token].psn_no == "P2"


async def test_both_parents_may_register_a_child_which_is_told_of_once(bench: Bench) -> None:
    await load(bench, [row(), row("P2", CHILD, 2), row("P3", sequence=3)])
    await register(bench, None, card())
    await register(bench, None, card(sequence=3))
    for parent in ("P1", "P3"):
        await register(bench, parent, card(CHILD, 2))
        assert (await voucher(bench, parent, "P2")).voucher
    told = [event.psn_no for event in bench.repository.outbox.messages if isinstance(event, events_pb2.PersonVerified)]
    assert told == ["P1", "P3", "P2"]


async def test_a_minor_without_a_parent_at_the_portal_is_not_registered(bench: Bench) -> None:
    await load(bench, [row("P2", CHILD, 2)])
    with pytest.raises(NotEntitled):
        await register(bench, None, card(CHILD, 2))


@pytest.mark.parametrize(("caller", "psn_no"), [("P1", "P3"), ("P1", "P99"), (None, "P1"), ("P3", "P2")])
async def test_nobody_gets_a_voucher_of_another(bench: Bench, caller: str | None, psn_no: str) -> None:
    registration = Registration(NOW, "P1")
    bench.keep(
        person(registration=registration),
        person("P2", CHILD, 2, registration=registration, guardians=frozenset({"P1"})),
        person("P3", sequence=3, registration=registration),
    )
    with pytest.raises(NotEntitled):
        await voucher(bench, caller, psn_no)
    assert bench.repository.vouchers == {}


async def test_a_voucher_needs_a_registration(bench: Bench) -> None:
    bench.keep(person())
    with pytest.raises(PersonNotFound):
        await voucher(bench, "P1", "P1")


async def test_vouchers_differ_and_those_long_past_are_forgotten(bench: Bench) -> None:
    bench.keep(person(registration=Registration(NOW, "P1")))
    first = await voucher(bench, "P1", "P1")
    second = await voucher(bench, "P1", "P1")
    assert set(bench.repository.vouchers) == {first.voucher, second.voucher}
    assert first.expires_at.ToDatetime(tzinfo=SHANGHAI) == NOW + timedelta(seconds=60)
    bench.clock.advance(timedelta(days=1, seconds=61))
    third = await voucher(bench, "P1", "P1")
    assert set(bench.repository.vouchers) == {third.voucher}


async def test_a_person_is_shown_masked_with_the_enrolment_of_the_day(bench: Bench) -> None:
    later = enrolment(date(2025, 7, 1), insuplc_admdvs="652722")
    bench.keep(replace(person(), enrolments=(enrolment(), later)))
    call_as_operator()
    shown = await get(bench, "P1")
    assert (shown.masked_name, shown.masked_certno, shown.brdy) == ("买*****", "6527**********0016", "1985-03-02")
    assert shown.enrolment.insuplc_admdvs == "652701"
    bench.clock.set(NOW + timedelta(days=21))
    assert (await get(bench, "P1")).enrolment.insuplc_admdvs == "652722"


async def test_days_are_those_of_shanghai(bench: Bench) -> None:
    bench.keep(replace(person(), enrolments=(enrolment(date(2025, 6, 11)),)))
    call_as_operator()
    bench.clock.set(NOW.replace(hour=15, minute=59))
    assert not (await get(bench, "P1")).HasField("enrolment")
    bench.clock.set(NOW.replace(hour=16))
    assert (await get(bench, "P1")).HasField("enrolment")


async def test_a_citizen_sees_only_themself_and_their_minors(bench: Bench) -> None:
    bench.keep(person(), person("P2", CHILD, 2, guardians=frozenset({"P1"})), person("P3", sequence=3))
    call_as_citizen("P1")
    assert (await get(bench, "P1")).psn_no == "P1"
    assert (await get(bench, "P2")).psn_no == "P2"
    for stranger in ("P3", "P99"):
        with pytest.raises(NotEntitled):
            await get(bench, stranger)
    call_as_citizen(None)
    with pytest.raises(NotEntitled):
        await get(bench, "P1")


async def test_an_operator_is_told_that_there_is_no_such_person(bench: Bench) -> None:
    call_as_operator()
    with pytest.raises(PersonNotFound):
        await get(bench, "P99")


async def test_every_look_at_a_person_is_logged_and_refused_ones_too(bench: Bench) -> None:
    bench.keep(person(), person("P3", sequence=3))
    call_as_citizen("P1")
    await get(bench, "P1")
    for whom in ("P3", "P99"):
        with pytest.raises(NotEntitled):
            await get(bench, whom)
    call_as_operator()
    await get(bench, "P3")
    seen = [(one.caller, one.means, one.outcome, one.psn_no) for one in bench.repository.accesses]
    assert seen == [
        ("service/portal psn:P1", "CITIZEN", RECOGNISED, "P1"),
        ("service/portal psn:P1", "CITIZEN", "FORBIDDEN", "P3"),
        ("service/portal psn:P1", "CITIZEN", "FORBIDDEN", None),
        ("service/operator", "OPERATOR", RECOGNISED, "P3"),
    ]


async def record(bench: Bench, stated: person_pb2.Enrolment, psn_no: str = "P1") -> bool:
    request = person_pb2.RecordEnrolmentRequest(psn_no=psn_no, enrolment=stated)
    return (await bench.persons.RecordEnrolment(request, None)).changed


async def test_only_a_real_change_of_enrolment_is_told(bench: Bench) -> None:
    bench.keep(person())
    assert not await record(bench, BOLE_MEMBER)
    suspended = person_pb2.Enrolment()
    suspended.CopyFrom(BOLE_MEMBER)
    suspended.psn_insu_stas = person_pb2.INSURANCE_STATUS_NOT_INSURED
    suspended.valid_from = "2025-06-10"
    assert await record(bench, suspended)
    assert not await record(bench, suspended)
    (event,) = bench.repository.outbox.messages
    assert isinstance(event, events_pb2.EnrolmentChanged)
    assert (event.sequence, event.enrolment) == (2, suspended)


async def test_an_enrolment_that_ends_before_it_begins_names_the_field(bench: Bench) -> None:
    stated = person_pb2.Enrolment()
    stated.CopyFrom(BOLE_MEMBER)
    stated.valid_to = "2024-12-31"
    with pytest.raises(InvalidFields) as refused:
        await record(bench, stated)
    assert refused.value.violations[0].field == "enrolment.valid_to"


async def test_an_enrolment_of_nobody_is_not_found(bench: Bench) -> None:
    with pytest.raises(PersonNotFound):
        await record(bench, BOLE_MEMBER, "P99")


async def bury(bench: Bench, died_on: str, psn_no: str = "P1") -> bool:
    request = person_pb2.RecordDeathRequest(psn_no=psn_no, died_on=died_on)
    return (await bench.persons.RecordDeath(request, None)).changed


async def test_a_death_is_told_once(bench: Bench) -> None:
    bench.keep(person())
    assert await bury(bench, "2025-06-10")
    assert not await bury(bench, "2025-06-10")
    (event,) = bench.repository.outbox.messages
    assert isinstance(event, events_pb2.PersonDied)
    assert (event.died_on, event.sequence) == ("2025-06-10", 2)


@pytest.mark.parametrize("died_on", ["2025-06-11", "1985-03-01", "2025-02-30"])
async def test_a_death_that_cannot_be_names_the_field(bench: Bench, died_on: str) -> None:
    bench.keep(person())
    with pytest.raises(InvalidFields) as refused:
        await bury(bench, died_on)
    assert refused.value.violations[0].field == "died_on"
    assert bench.repository.persons["P1"].died_on is None


async def test_filing_the_same_care_again_gives_the_same_filing(bench: Bench) -> None:
    bench.keep(person())

    async def file(valid_to: str) -> str:
        request = person_pb2.FileRemoteCareRequest(
            psn_no="P1", admdvs="310000", valid_from="2025-06-01", valid_to=valid_to
        )
        return (await bench.persons.FileRemoteCare(request, None)).filing_id

    assert await file("2025-08-31") == await file("2025-08-31")
    assert await file("") == await file("")
    assert len(bench.repository.kept_filings) == 2
    with pytest.raises(InvalidFields):
        await file("2025-05-31")


async def test_nothing_is_kept_or_told_when_the_commit_fails(bench: Bench) -> None:
    bench.keep(person())
    bench.work.fail_next_commit(Refusal("UNAVAILABLE"))
    with pytest.raises(Refusal):
        await bury(bench, "2025-06-10")
    assert bench.repository.persons["P1"].died_on is None
    assert bench.repository.outbox.rows == []
