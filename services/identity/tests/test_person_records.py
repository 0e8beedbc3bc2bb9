"""Corrections, look-ups, enrolments by day and filings, as a caller of PersonService meets them."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from gongji.identity.events.v1 import events_pb2
from gongji.identity.v1 import person_pb2
from identity.disclosure import DISCLOSED, Item, disclosed_to
from identity.domain.certificate import Certificate, CertificateType
from identity.domain.enrolment import InsuranceStatus
from identity.domain.person import Registration
from identity.domain.refusals import (
    CertificateNotFound,
    CertificateTaken,
    FilingNotFound,
    NotEntitled,
    PersonNotFound,
)
from identity.domain.remote_care import RemoteFiling
from identity.repository import RECOGNISED, Operation
from identity.testing import (
    ADULT,
    CHILD,
    NAME,
    NOW,
    TODAY,
    Bench,
    call_as_citizen,
    call_as_clerk,
    call_as_operator,
    call_as_registry,
    enrolment,
    identity_card,
    identity_number,
    person,
)
from kit.auth import Principal
from kit.errors import InvalidFields

BIRTH_CERTIFICATE = Certificate(CertificateType.BIRTH_CERTIFICATE, "Q650012345")
REGISTERED = Registration(NOW, "P1")


def card(brdy: date = ADULT, sequence: int = 1) -> person_pb2.PersonCertificate:
    return person_pb2.PersonCertificate(
        psn_cert_type=person_pb2.PERSON_CERTIFICATE_TYPE_IDENTITY_CARD, certno=identity_number(brdy, sequence)
    )


@pytest.fixture
def family(bench: Bench) -> Bench:
    """A registered father, his newborn with a birth certificate only, and a stranger."""
    bench.keep(
        person(registration=REGISTERED),
        person(
            "P2",
            CHILD,
            certificates=(BIRTH_CERTIFICATE,),
            registration=REGISTERED,
            guardians=frozenset({"P1"}),
            version=3,
        ),
        person("P3", sequence=3, registration=Registration(NOW, "P3")),
    )
    return bench


async def correct(bench: Bench, psn_no: str = "P2", **told: Any) -> bool:
    request = person_pb2.CorrectPersonRequest(psn_no=psn_no, reason="户籍更正", **told)
    return (await bench.persons.CorrectPerson(request, None)).changed


async def add(bench: Bench, certificate: person_pb2.PersonCertificate, psn_no: str = "P2") -> bool:
    request = person_pb2.AddCertificateRequest(psn_no=psn_no, certificate=certificate)
    return (await bench.persons.AddCertificate(request, None)).changed


async def find(bench: Bench, certificate: person_pb2.PersonCertificate) -> person_pb2.FindPersonByCertificateResponse:
    request = person_pb2.FindPersonByCertificateRequest(certificate=certificate, reason="窗口查询")
    return await bench.persons.FindPersonByCertificate(request, None)


async def get(bench: Bench, psn_no: str) -> person_pb2.GetPersonResponse:
    return await bench.persons.GetPerson(person_pb2.GetPersonRequest(psn_no=psn_no), None)


async def test_who_added_a_certificate_is_kept_and_only_if_it_was_new(family: Bench) -> None:
    call_as_clerk("wang", "operator")
    assert [await add(family, card(CHILD, 7)) for _ in range(2)] == [True, False]
    (made,) = family.repository.corrections
    assert (made.psn_no, made.corrected_by, made.fields, made.reason) == (
        "P2",
        "service/portal clerk:wang",
        ("certificate",),
        "增加证件",
    )


async def test_a_corrected_birth_date_of_a_registered_person_is_told(family: Bench) -> None:
    call_as_operator()
    assert await correct(family, brdy="2015-09-02")
    assert not await correct(family, brdy="2015-09-02")
    (event,) = family.repository.outbox.messages
    assert isinstance(event, events_pb2.PersonCorrected)
    assert (event.psn_no, event.brdy, event.sequence) == ("P2", "2015-09-02", 4)


async def test_what_was_corrected_by_whom_and_why_is_kept_and_not_what_it_said(family: Bench) -> None:
    call_as_clerk("wang", "operator")
    assert await correct(family, psn_name="李四", tel="", card_sn="y1")
    (made,) = family.repository.corrections
    assert (made.psn_no, made.corrected_by, made.reason) == ("P2", "service/portal clerk:wang", "户籍更正")
    assert made.fields == ("psn_name", "tel", "card_sn")
    kept = family.repository.persons["P2"]
    assert (kept.name, kept.tel, kept.card_sn) == ("李四", "", "Y1")
    assert family.repository.outbox.rows == []


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"psn_name": " "}, "psn_name"),
        ({"brdy": "2015-02-30"}, "brdy"),
        ({"brdy": "2025-06-11"}, "brdy"),
        ({"certificate": card(CHILD, 4)}, "certificate"),
    ],
)
async def test_a_correction_that_cannot_be_names_the_field(family: Bench, told: dict[str, Any], field: str) -> None:
    call_as_operator()
    with pytest.raises(InvalidFields) as refused:
        await correct(family, **told)
    assert [one.field for one in refused.value.violations] == [field]
    assert family.repository.corrections == []


async def test_nobody_who_is_not_there_is_corrected(family: Bench) -> None:
    call_as_operator()
    with pytest.raises(PersonNotFound):
        await correct(family, "P99", tel="")
    with pytest.raises(PersonNotFound):
        await add(family, card(CHILD, 9), "P99")


async def test_a_newborn_gets_an_identity_number_and_is_the_same_person_by_either(family: Bench) -> None:
    call_as_operator()
    assert await add(family, card(CHILD, 7))
    assert not await add(family, card(CHILD, 7))
    birth = person_pb2.PersonCertificate(
        psn_cert_type=person_pb2.PERSON_CERTIFICATE_TYPE_BIRTH_CERTIFICATE, certno=BIRTH_CERTIFICATE.number
    )
    assert {(await find(family, one)).psn_no for one in (birth, card(CHILD, 7))} == {"P2"}
    shown = await get(family, "P2")
    assert [one.psn_cert_type for one in shown.certificates] == [
        person_pb2.PERSON_CERTIFICATE_TYPE_IDENTITY_CARD,
        person_pb2.PERSON_CERTIFICATE_TYPE_BIRTH_CERTIFICATE,
    ]


async def test_a_number_that_is_somebody_elses_is_refused(family: Bench) -> None:
    call_as_operator()
    family.keep(person("P4", CHILD, 4))
    with pytest.raises(CertificateTaken) as refused:
        await add(family, card(CHILD, 4))
    assert "P4" not in str(refused.value) + str(refused.value.metadata)
    with pytest.raises(CertificateTaken):
        await correct(family, "P3", certificate=card(ADULT, 1))


async def test_a_look_up_is_logged_with_the_stated_reason_found_or_not(family: Bench) -> None:
    call_as_operator()
    assert (await find(family, card())).masked_name == "买*****"
    with pytest.raises(CertificateNotFound):
        await find(family, card(ADULT, 9))
    assert [(one.operation, one.outcome, one.psn_no, one.stated_reason) for one in family.repository.accesses] == [
        (Operation.FIND_PERSON, RECOGNISED, "P1", "窗口查询"),
        (Operation.FIND_PERSON, "NOT_FOUND", None, "窗口查询"),
    ]


@pytest.mark.parametrize(
    ("call", "whole"),
    [
        (call_as_registry, True),
        (call_as_operator, False),
        (lambda: call_as_clerk("wang", "operator"), False),
        (lambda: call_as_citizen("P1"), False),
    ],
)
async def test_name_and_number_are_whole_only_for_those_whom_the_table_names(
    family: Bench, call: Callable[[], None], *, whole: bool
) -> None:
    call()
    shown = await get(family, "P1")
    told = (shown.psn_name, [one.certno for one in shown.certificates])
    assert told == ((NAME, [identity_number()]) if whole else ("", [""]))
    assert shown.certificates[0].masked_certno == shown.masked_certno == "6527**********0016"
    found = await find(family, card())
    assert found.psn_name == (NAME if whole else "")


def test_the_table_of_disclosures_names_one_principal() -> None:
    assert {str(principal): items for principal, items in DISCLOSED.items()} == {"service/registry": frozenset(Item)}
    assert disclosed_to(Principal("institution", "registry")) == frozenset()


async def enrolled_on(bench: Bench, psn_no: str, day: str = "") -> person_pb2.GetEnrolmentResponse:
    return await bench.persons.GetEnrolment(person_pb2.GetEnrolmentRequest(psn_no=psn_no, day=day), None)


async def history(bench: Bench, psn_no: str, **asked: Any) -> person_pb2.ListEnrolmentsResponse:
    return await bench.persons.ListEnrolments(person_pb2.ListEnrolmentsRequest(psn_no=psn_no, **asked), None)


async def test_a_day_has_the_enrolment_that_was_in_force_on_it(bench: Bench) -> None:
    stopped = enrolment(date(2025, 3, 1), psn_insu_stas=InsuranceStatus.SUSPENDED)
    bench.keep(person(enrolments=(enrolment(), stopped, enrolment(date(2025, 5, 1), date(2025, 5, 31)))))
    call_as_operator()
    for day, status in (
        ("2024-12-31", None),
        ("2025-02-28", person_pb2.INSURANCE_STATUS_NORMAL),
        ("2025-03-01", person_pb2.INSURANCE_STATUS_SUSPENDED),
        ("2025-05-31", person_pb2.INSURANCE_STATUS_NORMAL),
        ("2025-06-01", None),
    ):
        answer = await enrolled_on(bench, "P1", day)
        assert (answer.enrolment.psn_insu_stas if answer.HasField("enrolment") else None) == status
    today = await enrolled_on(bench, "P1")
    assert (today.day, today.HasField("enrolment")) == ("2025-06-10", False)
    with pytest.raises(InvalidFields):
        await enrolled_on(bench, "P1", "2025-02-30")


async def test_the_history_of_enrolments_comes_in_pages_newest_first(bench: Bench) -> None:
    bench.keep(person(enrolments=tuple(enrolment(date(2025, month, 1)) for month in range(1, 6))))
    call_as_operator()
    pages, token = [], ""
    for _ in range(3):
        page = await history(bench, "P1", page_size=2, page_token=token)
        pages.append([(one.position, one.enrolment.valid_from) for one in page.enrolments])
        token = page.next_page_token
    assert pages == [
        [(5, "2025-05-01"), (4, "2025-04-01")],
        [(3, "2025-03-01"), (2, "2025-02-01")],
        [(1, "2025-01-01")],
    ]
    assert token == ""
    whole = await history(bench, "P1", page_size=5)
    assert (len(whole.enrolments), whole.next_page_token) == (5, "")


@pytest.mark.parametrize("token", ["?", "MA", "LTE", "OTk5OTk5OTk5OTk5", "eA", "4pyT", "A" * 200])
async def test_a_page_token_that_was_not_given_out_names_the_field(family: Bench, token: str) -> None:
    call_as_operator()
    with pytest.raises(InvalidFields) as refused:
        await history(family, "P1", page_token=token)
    assert refused.value.violations[0].field == "page_token"


async def test_a_citizen_sees_enrolments_and_filings_of_oneself_and_ones_minors_only(family: Bench) -> None:
    call_as_citizen("P1")
    for psn_no in ("P1", "P2"):
        await enrolled_on(family, psn_no)
        await history(family, psn_no)
        await filings(family, psn_no)
    for stranger in ("P3", "P99"):
        for look in (enrolled_on, history, filings):
            with pytest.raises(NotEntitled):
                await look(family, stranger)
    assert [one.outcome for one in family.repository.accesses] == [RECOGNISED] * 6 + ["FORBIDDEN"] * 6
    call_as_operator()
    for look in (enrolled_on, history, filings):
        with pytest.raises(PersonNotFound):
            await look(family, "P99")


async def file(bench: Bench, psn_no: str = "P1", **stated: Any) -> str:
    usual = {"admdvs": "310000", "valid_from": "2025-06-01", **stated}
    return (
        await bench.persons.FileRemoteCare(person_pb2.FileRemoteCareRequest(psn_no=psn_no, **usual), None)
    ).filing_id


async def cancel(bench: Bench, filing_id: str, psn_no: str = "P1") -> person_pb2.RemoteCareFiling:
    request = person_pb2.CancelRemoteCareRequest(psn_no=psn_no, filing_id=filing_id)
    return (await bench.persons.CancelRemoteCare(request, None)).filing


async def filings(bench: Bench, psn_no: str, **asked: Any) -> list[person_pb2.RemoteCareFiling]:
    request = person_pb2.ListRemoteCareRequest(psn_no=psn_no, **asked)
    return list((await bench.persons.ListRemoteCare(request, None)).filings)


async def test_a_filing_is_temporary_or_long_term_for_a_province_or_a_city(family: Bench) -> None:
    call_as_operator()
    temporary, long_term = person_pb2.REMOTE_CARE_KIND_TEMPORARY, person_pb2.REMOTE_CARE_KIND_LONG_TERM
    await file(family)
    await file(family, valid_to="2025-06-30")
    await file(family, valid_to="2025-06-30", kind=long_term)
    await file(family, admdvs="310100", valid_to="2025-06-30", kind=temporary)
    province, city = person_pb2.REMOTE_CARE_LEVEL_PROVINCE, person_pb2.REMOTE_CARE_LEVEL_CITY
    assert [(one.kind, one.level, one.valid_to) for one in await filings(family, "P1")] == [
        (temporary, city, "2025-06-30"),
        (long_term, province, "2025-06-30"),
        (temporary, province, "2025-06-30"),
        (long_term, province, ""),
    ]
    with pytest.raises(InvalidFields) as refused:
        await file(family, kind=temporary)
    assert refused.value.violations[0].field == "valid_to"


async def test_cancelling_again_changes_nothing_and_the_care_can_be_filed_anew(family: Bench) -> None:
    call_as_operator()
    first = await file(family)
    assert (await cancel(family, first)).cancelled_on == "2025-06-10"
    family.clock.advance(timedelta(days=3))
    assert (await cancel(family, first)).cancelled_on == "2025-06-10"
    second = await file(family)
    assert second != first
    assert [(one.filing_id, one.cancelled_on) for one in await filings(family, "P1")] == [
        (second, ""),
        (first, "2025-06-10"),
    ]


async def test_a_filing_is_cancelled_for_its_own_person_only(family: Bench) -> None:
    call_as_operator()
    filing_id = await file(family)
    for psn_no, asked in (("P3", filing_id), ("P1", str(uuid4()))):
        with pytest.raises(FilingNotFound):
            await cancel(family, asked, psn_no)
    assert family.repository.kept_filings[0].cancelled_on is None


@pytest.mark.parametrize(("cancelled_after_days", "holds"), [(-1, False), (0, False), (1, True)])
def test_a_cancelled_filing_counts_until_the_day_before_the_cancellation(
    cancelled_after_days: int, *, holds: bool
) -> None:
    day = TODAY + timedelta(days=cancelled_after_days)
    filing = RemoteFiling(UUID(int=1), "P1", "310000", date(2025, 1, 1), cancelled_on=day)
    assert filing.holds_on(TODAY) is holds


async def test_identity_card_comes_before_the_birth_certificate_however_they_were_added(family: Bench) -> None:
    call_as_operator()
    await add(family, card(CHILD, 7))
    assert family.repository.persons["P2"].certificates == (identity_card(CHILD, 7), BIRTH_CERTIFICATE)
