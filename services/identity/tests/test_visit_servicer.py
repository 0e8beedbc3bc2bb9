"""VisitService as a HIS meets it, on a repository in memory."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from gongji.common.v1 import reason_pb2
from gongji.identity.v1 import institution_pb2, visit_pb2
from identity.domain.certificate import Certificate, CertificateType
from identity.domain.enrolment import InsuranceStatus
from identity.domain.institution import InstitutionType
from identity.domain.refusals import (
    CertificateInvalid,
    ForbiddenInstitution,
    IdentityRefusal,
    InstitutionNotDesignated,
    InstitutionSuspended,
    RealNameMismatch,
    VoucherInvalid,
)
from identity.domain.remote_care import RemoteFiling
from identity.domain.visit import Voucher
from identity.repository import RECOGNISED
from identity.testing import (
    CARD_SN,
    HOSPITAL,
    NAME,
    NOW,
    TODAY,
    Bench,
    call_as_institution,
    enrolment,
    identity_number,
    institution,
    person,
)
from kit.clock import SHANGHAI
from kit.errors import InvalidFields

VOUCHER = visit_pb2.VISIT_CERTIFICATE_TYPE_E_VOUCHER
ID_CARD = visit_pb2.VISIT_CERTIFICATE_TYPE_IDENTITY_CARD
SOCIAL_CARD = visit_pb2.VISIT_CERTIFICATE_TYPE_SOCIAL_SECURITY_CARD


@pytest.fixture
def visited(bench: Bench) -> Bench:
    """A hospital, a patient, and a voucher `token`."""
    bench.keep(person(card_sn=CARD_SN))
    bench.keep_institution(institution())
    bench.repository.vouchers["token"] = Voucher("P1", NOW + timedelta(seconds=60))
    return bench


async def identify(bench: Bench, code: str = HOSPITAL, caller: str = HOSPITAL, **shown: Any) -> Any:
    call_as_institution(caller)
    return await bench.visits.Identify(visit_pb2.IdentifyRequest(fixmedins_code=code, **shown), None)


def facts_in(bench: Bench, answer: visit_pb2.IdentifyResponse) -> visit_pb2.VisitFacts:
    return visit_pb2.VisitFacts.FromString(bench.signer.verify(answer.visit_credential))


SHOWN: dict[str, dict[str, Any]] = {
    "voucher": {"mdtrt_cert_type": VOUCHER, "mdtrt_cert_no": "token"},
    "identity card": {"mdtrt_cert_type": ID_CARD, "mdtrt_cert_no": identity_number(), "psn_name": NAME},
    "social security card": {
        "mdtrt_cert_type": SOCIAL_CARD,
        "mdtrt_cert_no": identity_number(),
        "card_sn": CARD_SN.lower(),
    },
}


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN.keys())
async def test_each_kind_of_certificate_leads_to_the_person(visited: Bench, shown: dict[str, Any]) -> None:
    answer = await identify(visited, **shown)
    assert (answer.psn_no, answer.masked_name, answer.enrolment.insuplc_admdvs) == ("P1", "买*****", "652701")
    assert list(answer.findings) == []
    assert answer.expires_at.ToDatetime(tzinfo=SHANGHAI) == NOW + timedelta(minutes=15)


async def test_the_credential_carries_the_facts_of_the_visit(visited: Bench) -> None:
    visited.keep_institution(institution(admdvs="310104"))
    visited.repository.kept_filings += [
        RemoteFiling(UUID(int=1), "P1", "310000", date(2025, 6, 1)),
        RemoteFiling(UUID(int=2), "P1", "110000", date(2025, 7, 1)),
        RemoteFiling(UUID(int=3), "P2", "120000", date(2025, 6, 1)),
    ]
    answer = await identify(visited, **SHOWN["voucher"])
    facts = facts_in(visited, answer)
    assert (facts.psn_no, facts.fixmedins_code, facts.mdtrtarea_admvs) == ("P1", HOSPITAL, "310104")
    assert facts.fixmedins_type == institution_pb2.INSTITUTION_TYPE_MEDICAL
    assert (facts.designated, facts.remote_settlement, facts.deceased) == (True, True, False)
    assert facts.enrolment == answer.enrolment
    assert list(facts.filed_admdvs) == ["310000"]
    assert (facts.audience, facts.expires_at) == ("settlement", answer.expires_at)
    assert facts.issued_at.ToDatetime(tzinfo=SHANGHAI) == NOW


async def test_the_credential_names_nobody_and_no_two_are_alike(visited: Bench) -> None:
    credentials = [facts_in(visited, await identify(visited, **SHOWN["voucher"])) for _ in range(2)]
    assert credentials[0].jti != credentials[1].jti
    text = credentials[0].SerializeToString().decode("utf-8", "ignore")
    assert NAME not in text
    assert identity_number() not in text


async def test_bad_facts_are_reported_and_not_refused(visited: Bench) -> None:
    visited.keep(person(died_on=TODAY, enrolments=(enrolment(psn_insu_stas=InsuranceStatus.ENDED),)))
    visited.keep_institution(institution(admdvs="310104", remote_settlement=False, designations=()))
    answer = await identify(visited, **SHOWN["voucher"])
    assert [reason_pb2.Reason.Name(finding) for finding in answer.findings] == [
        "REASON_INSTITUTION_NOT_DESIGNATED",
        "REASON_INSTITUTION_NO_REMOTE_SETTLEMENT",
        "REASON_REMOTE_CARE_UNFILED",
        "REASON_DECEASED",
        "REASON_NOT_INSURED",
    ]
    facts = facts_in(visited, answer)
    assert (facts.designated, facts.deceased) == (False, True)


async def test_a_suspended_institution_identifies_nobody_and_the_attempt_is_logged(visited: Bench) -> None:
    visited.keep_institution(institution(suspended=True))
    for shown in SHOWN.values():
        with pytest.raises(InstitutionSuspended):
            await identify(visited, **shown)
    assert {(one.caller, one.outcome, one.psn_no) for one in visited.repository.accesses} == {
        (f"institution/{HOSPITAL}", "INSTITUTION_SUSPENDED", None)
    }
    visited.keep_institution(institution())
    assert (await identify(visited, **SHOWN["voucher"])).psn_no == "P1"


async def test_a_credential_of_a_stay_says_so_and_lives_for_the_stay(visited: Bench) -> None:
    answer = await identify(visited, inpatient=True, **SHOWN["identity card"])
    facts = facts_in(visited, answer)
    assert facts.inpatient
    assert facts.expires_at == answer.expires_at
    assert answer.expires_at.ToDatetime(tzinfo=SHANGHAI) == NOW + timedelta(days=14)
    assert [one.stated_reason for one in visited.repository.accesses] == ["住院"]
    usual = facts_in(visited, await identify(visited, **SHOWN["identity card"]))
    assert not usual.inpatient
    assert usual.expires_at.ToDatetime(tzinfo=SHANGHAI) == NOW + timedelta(minutes=15)


async def test_nobody_is_admitted_at_a_retail_pharmacy(visited: Bench) -> None:
    visited.keep_institution(institution(fixmedins_type=InstitutionType.PHARMACY))
    with pytest.raises(InvalidFields) as refused:
        await identify(visited, inpatient=True, **SHOWN["identity card"])
    assert refused.value.violations[0].field == "inpatient"
    assert (await identify(visited, **SHOWN["identity card"])).psn_no == "P1"


async def test_a_cancelled_filing_is_not_in_the_credential(visited: Bench) -> None:
    visited.keep_institution(institution(admdvs="310104"))
    filed = RemoteFiling(UUID(int=1), "P1", "310000", date(2025, 6, 1))
    for cancelled_on, found in ((date(2025, 6, 11), []), (TODAY, [reason_pb2.REASON_REMOTE_CARE_UNFILED])):
        visited.repository.kept_filings = [replace(filed, cancelled_on=cancelled_on)]
        assert list((await identify(visited, **SHOWN["voucher"])).findings) == found


async def test_the_credential_says_until_when_care_is_filed(visited: Bench) -> None:
    visited.repository.kept_filings = [
        RemoteFiling(UUID(int=1), "P1", "310000", date(2025, 6, 1), date(2025, 6, 12)),
        RemoteFiling(UUID(int=2), "P1", "110000", date(2025, 6, 1)),
        RemoteFiling(UUID(int=3), "P1", "120000", date(2025, 6, 11)),
    ]
    facts = facts_in(visited, await identify(visited, inpatient=True, **SHOWN["identity card"]))
    assert [(one.admdvs, one.valid_to) for one in facts.filed] == [("310000", "2025-06-12"), ("110000", "")]
    assert list(facts.filed_admdvs) == ["110000", "310000"]


async def test_who_is_not_enrolled_today_has_no_enrolment(visited: Bench) -> None:
    visited.keep(person(enrolments=(enrolment(valid_to=date(2025, 6, 9)),)))
    answer = await identify(visited, **SHOWN["voucher"])
    assert not answer.HasField("enrolment")
    assert not facts_in(visited, answer).HasField("enrolment")
    assert list(answer.findings) == [reason_pb2.REASON_NOT_INSURED]


async def test_a_voucher_works_again_where_it_was_shown_first_and_nowhere_else(visited: Bench) -> None:
    other = "H65270100002"
    visited.keep_institution(institution(other))
    await identify(visited, **SHOWN["voucher"])
    await identify(visited, **SHOWN["voucher"])
    with pytest.raises(VoucherInvalid):
        await identify(visited, other, other, **SHOWN["voucher"])


async def test_a_letter_of_a_number_may_be_typed_small_but_not_of_a_token(visited: Bench) -> None:
    passport = Certificate(CertificateType.PASSPORT, "G12345678")
    visited.keep(person(card_sn=CARD_SN, certificates=(passport,)))
    shown: dict[str, Any] = {"mdtrt_cert_type": SOCIAL_CARD, "mdtrt_cert_no": "g12345678", "card_sn": CARD_SN}
    assert (await identify(visited, **shown)).psn_no == "P1"
    with pytest.raises(VoucherInvalid):
        await identify(visited, mdtrt_cert_type=VOUCHER, mdtrt_cert_no="TOKEN")


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({**SHOWN["voucher"], "mdtrt_cert_no": "other"}, VoucherInvalid),
        ({**SHOWN["identity card"], "psn_name": "买买提·艾利"}, RealNameMismatch),
        ({**SHOWN["identity card"], "mdtrt_cert_no": identity_number(sequence=5)}, RealNameMismatch),
        ({**SHOWN["identity card"], "mdtrt_cert_no": identity_number()[:-2] + "00"}, CertificateInvalid),
        ({**SHOWN["social security card"], "card_sn": "Z1"}, RealNameMismatch),
        ({**SHOWN["social security card"], "mdtrt_cert_no": identity_number(sequence=5)}, RealNameMismatch),
        ({**SHOWN["voucher"], "caller": "H65270100002"}, ForbiddenInstitution),
        ({**SHOWN["voucher"], "code": "H65270100003", "caller": "H65270100003"}, InstitutionNotDesignated),
    ],
)
async def test_who_is_not_recognised_leaves_a_line_in_the_access_log_and_nothing_else(
    visited: Bench, changed: dict[str, Any], refusal: type[IdentityRefusal]
) -> None:
    with pytest.raises(refusal):
        await identify(visited, **changed)
    (access,) = visited.repository.accesses
    assert (access.outcome, access.psn_no, access.jti) == (refusal.reason, None, None)
    assert access.caller == f"institution/{changed.get('caller', HOSPITAL)}"
    assert visited.repository.vouchers["token"].fixmedins_code is None


async def test_a_recognition_is_logged_with_the_credential_that_was_given(visited: Bench) -> None:
    answer = await identify(visited, **SHOWN["identity card"])
    (access,) = visited.repository.accesses
    assert (access.operation, access.means, access.outcome) == ("IDENTIFY", "02", RECOGNISED)
    assert (access.psn_no, str(access.jti)) == ("P1", facts_in(visited, answer).jti)
    assert (access.request_id, access.stated_reason) == ("request-1", "门诊就医购药")


async def test_a_credential_is_not_given_when_the_access_cannot_be_logged(visited: Bench) -> None:
    visited.work.fail_next_commit(ConnectionError())
    with pytest.raises(ConnectionError):
        await identify(visited, **SHOWN["voucher"])
    assert visited.repository.accesses == []


async def test_a_voucher_that_ran_out_is_refused(visited: Bench) -> None:
    visited.repository.vouchers["token"] = replace(visited.repository.vouchers["token"], expires_at=NOW)
    with pytest.raises(VoucherInvalid):
        await identify(visited, **SHOWN["voucher"])
