"""An adult registers with the code that came to the telephone on file, and nobody without it."""

import asyncio
import uuid
from pathlib import Path

from support.newcomers import newcomer, refusal, start

from gongji.identity.v1 import person_pb2
from gongji_local.client import Connections, Operator, Portal
from gongji_local.stack import Stack


async def code_of(stack: Stack, verification_id: str) -> str:
    return await asyncio.to_thread(stack.code_of, verification_id)


async def test_the_code_comes_to_the_telephone_on_file_and_registers_its_owner(
    stack: Stack, connections: Connections
) -> None:
    person, portal = await newcomer(connections), Portal(connections)
    started = await start(portal, person)
    assert started.masked_tel == f"*******{person.tel[-4:]}"
    code = await code_of(stack, started.verification_id)
    (message,) = [one for one in stack.sms() if one.verification_id == started.verification_id]
    assert message.tel == person.tel
    assert message.text.startswith(f"【家庭共济】您的实名注册验证码为{code}，")
    by = (person.psn_name, person.certificate, started.verification_id)
    assert await portal.register_with_code(*by, code) == person.psn_no
    assert (await refusal(portal.register_with_code(*by, code)))[0] == "VERIFICATION_INVALID"
    # From now on they are logged in as who they are, and need no code to hear so again.
    assert await Portal(connections, person.psn_no).register(person.psn_name, person.certificate) == person.psn_no


async def test_name_and_number_alone_register_nobody(connections: Connections) -> None:
    person = await newcomer(connections)
    assert (await refusal(Portal(connections).register(person.psn_name, person.certificate)))[0] == "CODE_REQUIRED"
    await Portal(connections).register_in_person(person.psn_name, person.certificate)
    assert (await refusal(Portal(connections).register(person.psn_name, person.certificate)))[0] == "CODE_REQUIRED"


async def test_a_code_is_worth_nothing_to_somebody_else(stack: Stack, connections: Connections) -> None:
    person, other = await newcomer(connections), await newcomer(connections, "乌云")
    owner, thief = Portal(connections), Portal(connections)
    verification_id = (await start(owner, person)).verification_id
    code = await code_of(stack, verification_id)
    stolen = thief.register_with_code(person.psn_name, person.certificate, verification_id, code)
    assert (await refusal(stolen))[0] == "VERIFICATION_INVALID"
    misused = owner.register_with_code(other.psn_name, other.certificate, verification_id, code)
    assert (await refusal(misused))[0] == "VERIFICATION_INVALID"
    assert await owner.register_with_code(person.psn_name, person.certificate, verification_id, code) == person.psn_no


async def test_asking_again_under_the_same_request_id_sends_one_code(stack: Stack, connections: Connections) -> None:
    person, portal = await newcomer(connections), Portal(connections)
    request = person_pb2.StartVerificationRequest(
        psn_name=person.psn_name, certificate=person.certificate, request_id=str(uuid.uuid4())
    )
    first = await portal.call(portal.persons.StartVerification, request)
    assert await portal.call(portal.persons.StartVerification, request) == first
    await asyncio.to_thread(stack.quiesce, 120.0)
    assert sum(one.tel == person.tel for one in stack.sms()) == 1


async def test_without_a_telephone_on_file_the_way_leads_to_the_counter(connections: Connections) -> None:
    person = await newcomer(connections)
    row = person.row()
    row.tel = ""
    await Operator(connections).import_insured(f"no-tel.{person.psn_no}", [row])
    assert (await refusal(start(Portal(connections), person)))[0] == "PHONE_MISSING"


async def test_neither_code_nor_telephone_is_in_any_log_or_on_the_bus_in_clear(
    stack: Stack, connections: Connections
) -> None:
    person, portal = await newcomer(connections), Portal(connections)
    verification_id = (await start(portal, person)).verification_id
    code = await code_of(stack, verification_id)
    await portal.register_with_code(person.psn_name, person.certificate, verification_id, code)
    await asyncio.to_thread(stack.quiesce, 120.0)
    logs = await asyncio.to_thread(_logs, stack.folder.logs)
    assert verification_id in logs
    for secret in (person.tel, person.certno, person.psn_name):
        assert secret not in logs
    assert all(code not in line for line in logs.splitlines() if verification_id in line)


def _logs(folder: Path) -> str:
    return "\n".join((folder / f"{name}.log").read_text(encoding="utf-8") for name in ("identity", "notify"))
