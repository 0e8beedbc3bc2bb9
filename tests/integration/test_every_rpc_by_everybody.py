"""Each RPC tried by everybody whom its access table does not name, and by people whose assertion is no good."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import grpc
import pytest
from support.bad_requests import Rpc, rpcs, valid
from support.calls import call

from gongji_local.keys import Keys
from gongji_local.stack import Stack
from kit.auth import Access
from kit.errors import reason_of
from kit.grpc_client import TlsFiles, secure_channel

RPCS = list(rpcs())
INSTITUTION = "H65270199998"
SERVICES = ("portal", "operator", "registry", "settlement")
AGES = {"expired": timedelta(minutes=6)}
AT_ONCE = 4
"""Calls; of some streams a service takes no more."""
ROLES = ("citizen", "handler", "decider", "operator", "auditor")


@dataclass(frozen=True, slots=True)
class Somebody:
    """Whose certificate a call comes with, and for whom if it comes from the portal."""

    principal: str
    role: str = ""

    def may(self, access: Access) -> bool:
        """What the table says of them."""
        if self.principal == INSTITUTION:
            return access.any_institution
        return self.principal in access.service_names or self.role in access.roles

    def tls(self, stack: Stack) -> TlsFiles:
        """Their certificate."""
        return (
            stack.institution_tls(INSTITUTION) if self.principal == INSTITUTION else stack.service_tls(self.principal)
        )

    def metadata(self, stack: Stack, service: str) -> list[tuple[str, str]]:
        """A new assertion about the person behind the call, if there is one."""
        return [("x-gongji-assertion", self.assertion(stack, service))] if self.role else []

    def assertion(self, stack: Stack, service: str, age: timedelta = timedelta()) -> str:
        """The same as a token, made some time ago."""
        subject = "psn:65270001" if self.role == "citizen" else "clerk:stranger"
        return Keys(stack.folder.secrets).assertion(subject, (self.role,), service, stack.now() - age)


EVERYBODY = [
    Somebody(INSTITUTION),
    *map(Somebody, SERVICES),
    *(Somebody("portal", role) for role in ROLES),
]


def access_of(rpc: Rpc) -> Access:
    access: Access = importlib.import_module(f"{rpc.service}.access").ACCESS[rpc.path]
    return access


@asynccontextmanager
async def channels(stack: Stack, tls: TlsFiles) -> AsyncIterator[dict[str, grpc.aio.Channel]]:
    """One to each service."""
    async with AsyncExitStack() as opened:
        addresses = {name: stack.info.services[name].grpc_address for name in {rpc.service for rpc in RPCS}}
        yield {
            name: await opened.enter_async_context(secure_channel(address, tls)) for name, address in addresses.items()
        }


async def refusal(channel: grpc.aio.Channel, rpc: Rpc, metadata: list[tuple[str, str]]) -> str | None:
    """Why a request that is right in itself is refused; None if it is not."""
    raw = valid(rpc.request_type).SerializeToString()
    try:
        await call(channel, rpc, raw, metadata)
    except grpc.aio.AioRpcError as error:
        return reason_of(error) or f"{error.code().name}: {error.details()}"
    return None


async def refusals(
    to: dict[str, grpc.aio.Channel], metadata: dict[Rpc, list[tuple[str, str]]]
) -> dict[str, str | None]:
    """The refusal of each, a few at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(rpc: Rpc) -> str | None:
        async with room:
            return await refusal(to[rpc.service], rpc, metadata[rpc])

    return dict(zip([rpc.path for rpc in metadata], await asyncio.gather(*map(ask, metadata)), strict=True))


@pytest.mark.parametrize("somebody", EVERYBODY, ids=lambda one: f"{one.principal} {one.role}".strip())
async def test_nobody_gets_through_whom_the_table_does_not_name(stack: Stack, somebody: Somebody) -> None:
    forbidden = [rpc for rpc in RPCS if not somebody.may(access_of(rpc))]
    assert len(forbidden) > len(RPCS) // 4
    async with channels(stack, somebody.tls(stack)) as to:
        told = await refusals(to, {rpc: somebody.metadata(stack, rpc.service) for rpc in forbidden})
    # The portal without anybody behind it is told what is missing where people may call.
    expected = {
        rpc.path: "UNAUTHENTICATED" if somebody == Somebody("portal") and access_of(rpc).roles else "FORBIDDEN"
        for rpc in forbidden
    }
    assert told == expected


@pytest.mark.parametrize("trick", ["signature", "expired", "another service", "another caller"])
async def test_an_assertion_that_is_no_good_opens_no_method(stack: Stack, trick: str) -> None:
    presenter = Somebody("operator") if trick == "another caller" else Somebody("portal")
    shown: dict[Rpc, list[tuple[str, str]]] = {}
    wanted = [rpc for rpc in RPCS if access_of(rpc).roles]
    for rpc in wanted:
        person = Somebody("portal", min(access_of(rpc).roles))
        audience, age = "elsewhere" if trick == "another service" else rpc.service, AGES.get(trick, timedelta())
        token = person.assertion(stack, audience, age)
        head, signature = token.rsplit(".", 1)
        shown[rpc] = [("x-gongji-assertion", f"{head}.{signature[::-1]}" if trick == "signature" else token)]
    async with channels(stack, presenter.tls(stack)) as to:
        told = await refusals(to, shown)
    assert told == {rpc.path: "UNAUTHENTICATED" for rpc in wanted}
