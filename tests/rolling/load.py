"""What clients send while processes are replaced: all that `make faults` sends, streams, and the portal's calls."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

import grpc
from faults.families import HOSPITAL, Families, Patient
from faults.load import Desks
from faults.told import Sent, Told
from rolling.replicas import Fleet
from rolling.seen import Tally, Watching

from gongji.binding.v1 import relation_pb2
from gongji.common.v1 import reason_pb2
from gongji.identity.v1 import person_pb2
from gongji.notify.v1 import inbox_pb2
from gongji.settlement.v1 import settlement_pb2 as pb2
from gongji_local.client import Connections, Hospital, Operator, Portal, msgid
from gongji_local.client.connections import RECONNECT_OPTIONS
from gongji_local.client.persons import institution, insured
from gongji_local.info import ServiceInfo, StackInfo
from gongji_local.stack import Stack
from kit.clock import Elapsed
from kit.grpc_client import IdentifyRequests, TlsFiles, secure_channel

HOSPITALS: Final = 6
"""Callers that treat patients, each with patients of its own."""
PAUSE_SECONDS: Final = 0.03
"""Between two calls of one caller: the load is to be there all the time, not to fill the machine."""
STREAM_SECONDS: Final = 4.0
"""How long a stream of bills is kept open."""
TIMEOUT_SECONDS: Final = 12.0
LATER_SECONDS: Final = 16.0
"""What a stream has for its last results: the 15 s that each bill may take, and a moment."""
REPEATED: Final = ("/gongji.identity.v1.VisitService/", "/gongji.settlement.v1.SettlementService/")
"""What a hospital's client repeats on UNAVAILABLE: all of it is idempotent by msgid or request_id."""


class Behind:
    """The stack as clients see it: each service is all of its replicas."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._stack = fleet.stack

    @property
    def info(self) -> StackInfo:
        info = self._stack.info
        services = {name: ServiceInfo(self._fleet.target(name), "", None) for name in info.services}
        return replace(info, services=services)

    def now(self) -> datetime:
        return self._stack.now()

    def institution_tls(self, fixmedins_code: str) -> TlsFiles:
        return self._stack.institution_tls(fixmedins_code)

    def service_tls(self, name: str) -> TlsFiles:
        return self._stack.service_tls(name)

    def assertion(
        self,
        subject: str,
        *,
        roles: tuple[str, ...],
        audience: str,
        consent: Mapping[str, str] | None = None,
        psn_no: str = "",
    ) -> str:
        return self._stack.assertion(subject, roles=roles, audience=audience, consent=consent, psn_no=psn_no)

    def code_of(self, verification_id: str) -> str:
        return self._stack.code_of(verification_id)


class Balanced(Connections):
    """Channels over all replicas, with the retries that are documented and no others, each call told of."""

    def __init__(self, behind: Behind, watching: Watching) -> None:
        super().__init__(behind)
        self._watching = watching

    def channel(self, service: str, principal: str, tls: Callable[[], TlsFiles]) -> grpc.aio.Channel:
        if (service, principal) not in self._channels:
            self._channels[service, principal] = secure_channel(
                self.stack.info.services[service].grpc_address,
                tls(),
                # An assertion is used once: the portal signs another one for a repeat, which gRPC cannot.
                idempotent=REPEATED if principal.startswith("institution/") else (),
                options=RECONNECT_OPTIONS,
                interceptors=(IdentifyRequests(), self._watching),
            )
        return self._channels[service, principal]


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody whom identity knows, and where that person is treated."""

    psn_no: str
    fixmedins_code: str


async def register(stack: Stack) -> Member:
    """An adult who is insured and registered, and a hospital."""
    async with Connections(stack) as connections:
        operator = Operator(connections)
        person = insured("巴特尔", date(1985, 3, 2), person_pb2.INSURANCE_TYPE_EMPLOYEE)
        hospital = institution("滚动升级测试医院")
        await operator.register_institution(hospital)
        await operator.import_insured(f"rolling-{person.psn_no}", [person.row()])
        await Portal(connections).register_in_person(person.psn_name, person.certificate)
    return Member(person.psn_no, hospital.fixmedins_code)


class Clients(Desks):
    """Hospitals, one of them with streams, and people in front of the portal.

    Args:
        fleet: who is called.
        families: who is treated, and who pays.
        member: whom identity knows.
        chance: what decides who is ill and with what.
        told: where everything is remembered.
    """

    def __init__(self, fleet: Fleet, families: Families, member: Member, chance: random.Random, told: Told) -> None:
        self.tally = Tally()
        self._behind = Behind(fleet)
        self._watching = Watching(lambda: self.tally)
        self._member = member
        super().__init__(fleet.stack, fleet.target("settlement"), families, chance, told)
        self._timeout_seconds = TIMEOUT_SECONDS

    def begin_tally(self) -> Tally:
        """Count anew; what was counted so far."""
        before, self.tally = self.tally, Tally()
        return before

    async def work(self, enough: asyncio.Event) -> None:
        """Everything at once, until it is enough."""
        patients = self._families.patients
        async with asyncio.TaskGroup() as group:
            for number in range(HOSPITALS):
                group.create_task(self._treat(patients[number :: HOSPITALS + 1], enough))
            group.create_task(self._stream(patients[HOSPITALS :: HOSPITALS + 1], enough))
            for call_all in (self._at_identity, self._at_binding, self._at_notify, self._at_settlement):
                group.create_task(_again_and_again(call_all, enough))

    # hospitals

    def _open_channel(self, stack: Stack, target: str, fixmedins_code: str) -> grpc.aio.Channel:
        return secure_channel(
            target,
            stack.institution_tls(fixmedins_code),
            idempotent=REPEATED,
            options=RECONNECT_OPTIONS,
            interceptors=(self._watching,),
        )

    def _connect(self, stack: Stack) -> Connections:
        del stack
        return Balanced(self._behind, self._watching)

    async def _treat(self, patients: Sequence[Patient], enough: asyncio.Event) -> None:
        while not enough.is_set():
            await self._send_all(self._next(self._chance.choice(patients)))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _refused(self, sent: Sent, reason: str | None) -> None:
        self.tally.saw_reason(f"one {type(sent.request).__name__}", reason)
        await super()._refused(sent, reason)

    async def _stream(self, patients: Sequence[Patient], enough: asyncio.Event) -> None:
        """One stream after the other; what has no result goes first into the next one."""
        waiting: dict[str, Sent] = {}
        while not enough.is_set():
            elapsed = Elapsed()
            call = self._stub.SettleStream(timeout=STREAM_SECONDS + LATER_SECONDS)
            reading = asyncio.create_task(self._read(call, waiting))
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it was ended by the other side
                await self._write(call, patients, waiting, enough)
            await reading
            self._ended(await call.code(), await call.details(), elapsed.seconds, waiting)

    async def _write(
        self,
        call: "grpc.aio.StreamStreamCall[pb2.SettleStreamRequest, pb2.SettleStreamResponse]",
        patients: Sequence[Patient],
        waiting: dict[str, Sent],
        enough: asyncio.Event,
    ) -> None:
        elapsed = Elapsed()
        for sent in list(waiting.values()):
            await call.write(_item(sent))
        while not enough.is_set() and elapsed.seconds < STREAM_SECONDS and not call.done():
            sent = self._bill(self._chance.choice(patients))
            waiting[sent.key] = sent
            await call.write(_item(sent))
            await asyncio.sleep(PAUSE_SECONDS)
        await call.done_writing()

    async def _read(
        self,
        call: "grpc.aio.StreamStreamCall[pb2.SettleStreamRequest, pb2.SettleStreamResponse]",
        waiting: dict[str, Sent],
    ) -> None:
        with suppress(grpc.aio.AioRpcError):
            async for answer in call:
                for result in answer.results:
                    sent = waiting.pop(result.msgid)
                    if result.refusal:
                        name = reason_pb2.Reason.Name(result.refusal).removeprefix("REASON_")
                        await self._refused(sent, name)
                    else:
                        self._told.learn(sent, result.settlement)

    def _ended(self, code: grpc.StatusCode, details: str, seconds: float, waiting: Mapping[str, Sent]) -> None:
        """What a stopping process ends is UNAVAILABLE by the contract; settlement's README tells of INTERNAL."""
        method = "gongji.settlement.v1.SettlementService/SettleStream"
        if code is grpc.StatusCode.UNAVAILABLE or (code is grpc.StatusCode.INTERNAL and "Internal error" in details):
            self.tally.calls[method] += 1
            self.tally.reopened += 1
            return
        self.tally.saw(method, code.name, details, seconds - STREAM_SECONDS)
        if code is grpc.StatusCode.OK and waiting:
            self.tally.failed[f"{method}: OK, and {len(waiting)} bills have no result"] += 1

    def _msgid(self) -> str:
        # Of this very second: minutes of load take more than the 10,000 numbers of one.
        return msgid(HOSPITAL, self._behind.now())

    # people

    async def _at_identity(self) -> None:
        portal = Portal(self._connections, self._member.psn_no)
        await portal.person()
        voucher = await portal.issue_voucher(self._member.psn_no)
        await Hospital(self._connections, self._member.fixmedins_code).identify_by_voucher(voucher)

    async def _at_binding(self) -> None:
        """Raises the limit of a year of somebody by a fen."""
        payer = Portal(self._connections, self._payer())
        request = relation_pb2.ListRelationsRequest(psn_no=payer.psn_no, page_size=20)
        listed = await payer.call(payer.relation_service.ListRelations, request)
        relation = self._chance.choice(listed.relations)
        relation.limits.year_fen += 1
        await payer.change_limits(relation.relation_id, relation.limits)

    async def _at_notify(self) -> None:
        payer = Portal(self._connections, self._payer())
        await payer.call(payer.inbox.UnreadCount, inbox_pb2.UnreadCountRequest(psn_no=payer.psn_no))
        request = inbox_pb2.ListMessagesRequest(psn_no=payer.psn_no, page_size=20)
        messages = (await payer.call(payer.inbox.ListMessages, request)).messages
        if messages:
            read = inbox_pb2.MarkReadRequest(psn_no=payer.psn_no, message_ids=[each.message_id for each in messages])
            await payer.call(payer.inbox.MarkRead, read)

    async def _at_settlement(self) -> None:
        await Portal(self._connections, self._payer()).account()

    def _payer(self) -> str:
        return self._families.payer_of(self._chance.choice(self._families.patients))


async def _again_and_again(call_all: Callable[[], Awaitable[None]], enough: asyncio.Event) -> None:
    while not enough.is_set():
        with suppress(grpc.aio.AioRpcError):  # the tally knows
            await call_all()
        await asyncio.sleep(PAUSE_SECONDS)


def _item(sent: Sent) -> pb2.SettleStreamRequest:
    return pb2.SettleStreamRequest(items=[sent.request])  # type: ignore[list-item]
