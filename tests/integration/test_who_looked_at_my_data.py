"""Who looked at my data: the access log as a family, a stranger and an auditor read it."""

from typing import Any

import pytest
from support.families import Families, Family
from support.refusals import Attempt, refusal

from gongji.identity.v1 import access_log_pb2, access_log_pb2_grpc, institution_pb2, person_pb2, person_pb2_grpc
from gongji_local.client import Caller, Connections, Operator, Portal

IDENTIFY = access_log_pb2.ACCESS_OPERATION_IDENTIFY
FIND = access_log_pb2.ACCESS_OPERATION_FIND_PERSON
GET = access_log_pb2.ACCESS_OPERATION_GET_PERSON


@pytest.fixture
async def family(families: Families) -> Family:
    """A father and a child whom he registered."""
    return await families.make({"father": 0})


def auditor(connections: Connections) -> Caller:
    return Caller(connections, title="auditor", principal="service/portal", subject="clerk:zhao", roles=("auditor",))


async def lines(reader: Caller, **asked: Any) -> list[access_log_pb2.AccessLine]:
    stub: access_log_pb2_grpc.AccessLogServiceAsyncStub = access_log_pb2_grpc.AccessLogServiceStub(
        reader.channel("identity")
    )
    return list((await reader.call(stub.ListAccess, access_log_pb2.ListAccessRequest(**asked))).lines)


async def test_a_father_sees_who_was_told_what_about_his_child(family: Family, connections: Connections) -> None:
    child, psn_no = family.world.persons["child"], family.psn_no("child")
    await family.credential("child")
    await Operator(connections).find_person(child.certificate, "核对参保信息")
    stranger = Portal(connections, (family.world.persons["father"].psn_no)[:-1] + "X")
    curious = person_pb2.GetPersonRequest(psn_no=psn_no)
    assert await refusal(lambda: stranger.call(stranger.persons.GetPerson, curious)) == "FORBIDDEN"

    seen = await lines(family.world.portal("father"), psn_no=psn_no)
    assert [(one.operation, one.outcome, one.fixmedins_code, one.stated_reason) for one in seen[:3]] == [
        (GET, "FORBIDDEN", "", ""),
        (FIND, "RECOGNISED", "", "核对参保信息"),
        (IDENTIFY, "RECOGNISED", family.hospital.fixmedins_code, "门诊就医购药"),
    ]
    assert [one.caller for one in seen[:3]] == [
        f"service/portal psn:{stranger.psn_no}",
        "service/operator",
        f"institution/{family.hospital.fixmedins_code}",
    ]
    assert all(one.psn_no == psn_no and one.request_id for one in seen)


async def test_an_auditor_reads_by_person_and_by_caller_and_is_seen_doing_it(
    family: Family, connections: Connections
) -> None:
    await family.credential("child")
    caller = f"institution/{family.hospital.fixmedins_code}"
    by_caller = await lines(auditor(connections), caller=caller)
    assert {one.psn_no for one in by_caller} == {family.psn_no("child")}
    assert await lines(auditor(connections), caller=caller, to_day="2020-01-01") == []
    assert await lines(auditor(connections), psn_no=family.psn_no("child"), from_day="2020-01-01")
    seen = await lines(family.world.portal("father"), psn_no=family.psn_no("child"))
    assert (seen[0].caller, seen[0].means) == ("service/portal clerk:zhao", "AUDITOR")


async def test_a_stranger_reaches_nothing_of_identity(family: Family, families: Families) -> None:
    other = await families.make({"father": 0})
    curious = other.world.portal("father")
    psn_no, card = family.psn_no("child"), family.world.persons["child"].certificate
    persons: person_pb2_grpc.PersonServiceAsyncStub = curious.persons
    change = "0197548e-7a00-7000-8000-000000000001"
    attempts: list[Attempt] = [
        lambda: lines(curious, psn_no=psn_no),
        lambda: lines(curious, caller="service/operator"),
        lambda: curious.call(persons.GetPerson, person_pb2.GetPersonRequest(psn_no=psn_no)),
        lambda: curious.call(persons.GetEnrolment, person_pb2.GetEnrolmentRequest(psn_no=psn_no)),
        lambda: curious.call(persons.ListEnrolments, person_pb2.ListEnrolmentsRequest(psn_no=psn_no)),
        lambda: curious.call(persons.ListRemoteCare, person_pb2.ListRemoteCareRequest(psn_no=psn_no)),
        lambda: curious.call(persons.IssueVoucher, person_pb2.IssueVoucherRequest(psn_no=psn_no, lifetime_seconds=60)),
        lambda: curious.call(
            persons.FindPersonByCertificate,
            person_pb2.FindPersonByCertificateRequest(certificate=card, reason="好奇"),
        ),
        lambda: curious.call(persons.AddCertificate, person_pb2.AddCertificateRequest(psn_no=psn_no, certificate=card)),
        lambda: curious.call(
            persons.CorrectPerson, person_pb2.CorrectPersonRequest(psn_no=psn_no, tel="", reason="好奇")
        ),
        lambda: curious.call(
            persons.CancelRemoteCare, person_pb2.CancelRemoteCareRequest(psn_no=psn_no, filing_id=change)
        ),
    ]
    for attempt in attempts:
        assert await refusal(attempt) == "FORBIDDEN"


async def test_a_citizen_changes_no_institution(family: Family, connections: Connections) -> None:
    citizen, code = family.world.portal("father"), family.hospital.fixmedins_code
    stated = await Operator(connections).institution(code)
    stub = Operator(connections, "wang").institution_changes
    change = "0197548e-7a00-7000-8000-000000000001"
    attempts: list[Attempt] = [
        lambda: citizen.call(
            stub.ProposeInstitutionChange,
            institution_pb2.ProposeInstitutionChangeRequest(institution=stated, reason="好奇"),
        ),
        lambda: citizen.call(
            stub.ConfirmInstitutionChange, institution_pb2.ConfirmInstitutionChangeRequest(change_id=change)
        ),
        lambda: citizen.call(
            stub.RejectInstitutionChange,
            institution_pb2.RejectInstitutionChangeRequest(change_id=change, reason="好奇"),
        ),
        lambda: citizen.call(stub.ListInstitutionChanges, institution_pb2.ListInstitutionChangesRequest()),
        lambda: citizen.call(stub.ListInstitutions, institution_pb2.ListInstitutionsRequest()),
    ]
    for attempt in attempts:
        assert await refusal(attempt) == "FORBIDDEN"
