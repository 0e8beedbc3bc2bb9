"""A newborn registered by birth certificate gets an identity number later, and stays one person everywhere."""

import asyncio
import random
from datetime import date, timedelta

import asyncpg
import grpc
import pytest

from gongji.identity.v1 import person_pb2
from gongji_local.client import Connections, Hospital, Operator, Portal, reason_of
from gongji_local.client.persons import Insured, institution, insured
from gongji_local.stack import Stack
from kit.clock import shanghai_date


def birth_certificate() -> person_pb2.PersonCertificate:
    """A medical birth certificate (出生医学证明): a letter and nine digits, and no identity number yet."""
    return person_pb2.PersonCertificate(
        psn_cert_type=person_pb2.PERSON_CERTIFICATE_TYPE_BIRTH_CERTIFICATE,
        certno=f"Q{random.randrange(10**9):09}",  # noqa: S311 - no secret
    )


async def birth_date_in_binding(stack: Stack, psn_no: str) -> date:
    connection = await asyncpg.connect(stack.info.database_url("binding"))
    try:
        brdy: date = await connection.fetchval("SELECT brdy FROM person WHERE psn_no = $1", psn_no)
    finally:
        await connection.close()
    return brdy


@pytest.fixture
async def parent(connections: Connections) -> Insured:
    """A registered mother."""
    mother = insured("阿依古丽", date(1995, 4, 5), person_pb2.INSURANCE_TYPE_EMPLOYEE)
    await Operator(connections).import_insured(f"newborn.{mother.psn_no}", [mother.row()])
    await Portal(connections).register_in_person(mother.psn_name, mother.certificate)
    return mother


@pytest.fixture
async def hospital(connections: Connections) -> Hospital:
    """A designated hospital."""
    clinic = institution("博乐市妇幼保健院")
    await Operator(connections).register_institution(clinic)
    return Hospital(connections, clinic.fixmedins_code)


async def test_a_newborn_gets_an_identity_number_and_stays_one_person(
    stack: Stack, connections: Connections, parent: Insured, hospital: Hospital
) -> None:
    operator, portal = Operator(connections), Portal(connections, parent.psn_no)
    born = shanghai_date(stack.now()) - timedelta(days=20)
    baby = insured("艾力江", born, person_pb2.INSURANCE_TYPE_RESIDENT)
    row, birth = baby.row(), birth_certificate()
    row.certificate.CopyFrom(birth)
    await operator.import_insured(f"newborn.{baby.psn_no}", [row])

    assert await portal.register(baby.psn_name, birth) == baby.psn_no
    shown = await hospital.identify_by_voucher(await portal.issue_voucher(baby.psn_no))
    assert (shown.psn_no, list(shown.findings)) == (baby.psn_no, [])
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await hospital.identify_by_identity_card(baby.certno, baby.psn_name)
    assert reason_of(unknown.value) == "REAL_NAME_MISMATCH"

    assert await operator.add_certificate(baby.psn_no, baby.certificate)
    assert not await operator.add_certificate(baby.psn_no, baby.certificate)
    assert (await hospital.identify_by_identity_card(baby.certno, baby.psn_name)).psn_no == baby.psn_no
    assert await portal.register(baby.psn_name, baby.certificate) == baby.psn_no
    found = {(await operator.find_person(one, "核对新生儿")).psn_no for one in (birth, baby.certificate)}
    assert found == {baby.psn_no}


async def test_a_number_of_somebody_else_is_refused(connections: Connections, parent: Insured) -> None:
    operator = Operator(connections)
    other = insured("古丽娜", parent.born, person_pb2.INSURANCE_TYPE_EMPLOYEE)
    row = other.row()
    row.certificate.CopyFrom(birth_certificate())
    await operator.import_insured(f"newborn.{other.psn_no}", [row])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await operator.add_certificate(other.psn_no, parent.certificate)
    assert reason_of(refused.value) == "CERTIFICATE_TAKEN"


async def test_a_corrected_birth_date_reaches_binding(stack: Stack, connections: Connections, parent: Insured) -> None:
    operator = Operator(connections)
    born = shanghai_date(stack.now()) - timedelta(days=30)
    baby = insured("艾山江", born, person_pb2.INSURANCE_TYPE_RESIDENT)
    row, birth = baby.row(), birth_certificate()
    row.certificate.CopyFrom(birth)
    await operator.import_insured(f"newborn.{baby.psn_no}", [row])
    await Portal(connections, parent.psn_no).register(baby.psn_name, birth)
    await asyncio.to_thread(stack.quiesce, 120.0)
    assert await birth_date_in_binding(stack, baby.psn_no) == born
    right = born + timedelta(days=1)
    correction = person_pb2.CorrectPersonRequest(psn_no=baby.psn_no, brdy=right.isoformat(), reason="出生证明更正")
    assert await operator.correct_person(correction)
    await asyncio.to_thread(stack.quiesce, 120.0)
    assert await birth_date_in_binding(stack, baby.psn_no) == right
