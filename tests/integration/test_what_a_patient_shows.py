"""What a patient shows: e-voucher (医保电子凭证), identity card, social security card; what each is good for."""

from datetime import date, timedelta
from functools import partial

import pytest
from support.refusals import refusal

from gongji.identity.v1 import person_pb2, visit_pb2
from gongji_local.client import Connections, Hospital, Operator, Portal
from gongji_local.client.persons import Insured, institution, insured
from gongji_local.stack import Stack

CARD_SN = "A12345678"


@pytest.fixture
async def patient(connections: Connections) -> Insured:
    """A registered adult with a social security card."""
    person = insured("古丽扎尔", date(1988, 5, 6), person_pb2.INSURANCE_TYPE_EMPLOYEE)
    row = person.row()
    row.card_sn = CARD_SN
    await Operator(connections).import_insured(f"shows.{person.psn_no}", [row])
    await Portal(connections).register_in_person(person.psn_name, person.certificate)
    return person


@pytest.fixture
async def hospitals(connections: Connections) -> list[Hospital]:
    """Two hospitals."""
    clinics = [institution("博乐市人民医院"), institution("精河县人民医院", admdvs="652722")]
    for clinic in clinics:
        await Operator(connections).register_institution(clinic)
    return [Hospital(connections, clinic.fixmedins_code) for clinic in clinics]


async def test_a_voucher_is_good_at_the_institution_that_identified_it_until_it_runs_out(
    stack: Stack, connections: Connections, patient: Insured, hospitals: list[Hospital]
) -> None:
    first, second = hospitals
    token = await Portal(connections, patient.psn_no).issue_voucher(patient.psn_no, 600)
    assert (await first.identify_by_voucher(token)).psn_no == patient.psn_no
    assert await refusal(lambda: second.identify_by_voucher(token)) == "VOUCHER_INVALID"
    stack.move_clock(stack.now() + timedelta(minutes=9))
    assert (await first.identify_by_voucher(token)).psn_no == patient.psn_no
    stack.move_clock(stack.now() + timedelta(minutes=1))
    assert await refusal(lambda: first.identify_by_voucher(token)) == "VOUCHER_INVALID"
    assert await refusal(lambda: first.identify_by_voucher(token[::-1])) == "VOUCHER_INVALID"


async def test_a_voucher_lives_from_one_to_ten_minutes(connections: Connections, patient: Insured) -> None:
    portal = Portal(connections, patient.psn_no)
    told = {seconds: await refusal(partial(portal.issue_voucher, patient.psn_no, seconds)) for seconds in (0, 59, 601)}
    assert told == dict.fromkeys((0, 59, 601), "INVALID_FIELDS")
    assert [len(await portal.issue_voucher(patient.psn_no, seconds)) for seconds in (60, 600)] == [43, 43]


async def test_a_card_is_worth_nothing_without_what_goes_with_it(patient: Insured, hospitals: list[Hospital]) -> None:
    hospital, number = hospitals[0], patient.certno
    assert (await hospital.identify_by_identity_card(number, patient.psn_name)).psn_no == patient.psn_no
    assert (await hospital.identify_by_social_security_card(number, CARD_SN)).psn_no == patient.psn_no
    assert await refusal(lambda: hospital.identify_by_identity_card(number, "")) == "INVALID_FIELDS"
    assert await refusal(lambda: hospital.identify_by_social_security_card(number, "")) == "INVALID_FIELDS"
    assert await refusal(lambda: hospital.identify_by_identity_card(number, "古丽")) == "REAL_NAME_MISMATCH"
    assert await refusal(lambda: hospital.identify_by_social_security_card(number, "A1")) == "REAL_NAME_MISMATCH"
    nothing = visit_pb2.IdentifyRequest(fixmedins_code=hospital.fixmedins_code, mdtrt_cert_no=number)
    assert await refusal(lambda: hospital.call(hospital.visits.Identify, nothing)) == "INVALID_FIELDS"


async def test_a_card_that_was_replaced_is_worth_nothing(
    connections: Connections, patient: Insured, hospitals: list[Hospital]
) -> None:
    replaced = person_pb2.CorrectPersonRequest(psn_no=patient.psn_no, card_sn="B87654321", reason="补办社保卡")
    assert await Operator(connections).correct_person(replaced)
    by_card = hospitals[0].identify_by_social_security_card
    assert await refusal(lambda: by_card(patient.certno, CARD_SN)) == "REAL_NAME_MISMATCH"
    assert (await by_card(patient.certno, "B87654321")).psn_no == patient.psn_no
