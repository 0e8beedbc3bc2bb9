"""Adults who are in the register of insured persons and have not registered yet."""

from collections.abc import Awaitable
from datetime import date

import grpc

from gongji.identity.v1 import person_pb2
from gongji_local.client import Connections, Operator, Portal
from gongji_local.client.persons import Insured, insured
from kit.errors import error_info

BORN = date(1985, 3, 2)


async def newcomer(connections: Connections, psn_name: str = "巴图") -> Insured:
    """An insured adult of their own, imported."""
    person = insured(psn_name, BORN, person_pb2.INSURANCE_TYPE_EMPLOYEE)
    answer = await Operator(connections).import_insured(f"newcomer.{person.psn_no}", [person.row()])
    assert answer.refused_count == 0
    return person


async def refusal(call: Awaitable[object]) -> tuple[str, dict[str, str]]:
    """The reason of the refusal and its facts; ("", {}) if the call was answered."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        info = error_info(error)
        return (info.reason, dict(info.metadata)) if info else (error.code().name, {})
    return "", {}


def wrong(code: str) -> str:
    """Another code than this one."""
    return f"{(int(code) + 1) % 10**6:06}"


async def start(portal: Portal, person: Insured) -> person_pb2.StartVerificationResponse:
    """A code for this person."""
    return await portal.start_verification(person.psn_name, person.certificate)
