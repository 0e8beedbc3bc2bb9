"""Hospitals and payers that send everything there is to send while things break, and remember what they were told."""

import asyncio
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import grpc
from faults.families import HOSPITAL, Families, Patient
from faults.told import Answer, Request, Sent, Told

from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import premium_pb2, settlement_pb2_grpc
from gongji.settlement.v1 import settlement_pb2 as pb2
from gongji_local.client import Connections, Portal, msgid, reason_of
from gongji_local.stack import Stack
from kit.clock import SHANGHAI, Elapsed
from kit.grpc_client import secure_channel

CALLERS: Final = 8
BATCH: Final = 5
TIMEOUT_SECONDS: Final = 5.0
FINAL_TIMEOUT_SECONDS: Final = 90.0
PAUSE_SECONDS: Final = 0.05
NOT_FINAL: Final = frozenset({None, "UNAVAILABLE", "OVERLOADED", "IN_PROGRESS", "INTERNAL", "DEADLINE_EXCEEDED"})
"""What an answer may say without saying what became of the request."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that is sent."""

    share: float
    """How often."""
    make: "Callable[[Patient], Sequence[Sent]]"
    """What it is for this patient now; nothing where there is nothing to do it to."""


class Desks:
    """So many callers, each with patients of its own, hospitals through a channel that may break.

    Args:
        stack: whose settlement is called; by the portal directly.
        target: where hospitals call, which may be a proxy.
        families: who is treated, and who pays.
        chance: what decides who is ill and with what.
        told: where everything is remembered.
    """

    def __init__(self, stack: Stack, target: str, families: Families, chance: random.Random, told: Told) -> None:
        self._channel = self._open_channel(stack, target, HOSPITAL)
        self._stub: settlement_pb2_grpc.SettlementServiceAsyncStub = settlement_pb2_grpc.SettlementServiceStub(
            self._channel
        )
        self._connections = self._connect(stack)
        self._timeout_seconds = TIMEOUT_SECONDS
        self._families = families
        self._chance = chance
        self._told = told
        self._now = stack.now().astimezone(SHANGHAI)
        self._kinds = (
            Kind(0.15, self._reversal),
            Kind(0.12, self._again),
            Kind(0.05, self._repeat),
            Kind(0.10, self._preview),
            Kind(0.10, self._use),
            Kind(0.06, self._premium),
            Kind(0.08, self._batch),
        )

    def _open_channel(self, stack: Stack, target: str, fixmedins_code: str) -> grpc.aio.Channel:
        """To settlement, as a hospital."""
        return secure_channel(
            target, stack.institution_tls(fixmedins_code), options=[("grpc.max_reconnect_backoff_ms", 500)]
        )

    def _connect(self, stack: Stack) -> Connections:
        """For all others."""
        return Connections(stack)

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()
        await self._connections.close()

    async def work(self, enough: asyncio.Event) -> None:
        """Treat patients until it is enough."""
        await asyncio.gather(*(self._caller(number, enough) for number in range(CALLERS)))

    async def _caller(self, number: int, enough: asyncio.Event) -> None:
        mine = self._families.patients[number::CALLERS]
        while not enough.is_set():
            await self._send_all(self._next(self._chance.choice(mine)))

    async def resolve(self) -> int:
        """Send every request of unknown outcome again until it is known; how many stay unknown."""
        elapsed = Elapsed()
        while (unknown := self._told.unknown) and elapsed.seconds < FINAL_TIMEOUT_SECONDS:
            # In the order in which they were sent: of a bill and its reversal the bill first.
            for sent in unknown:
                await self._send(sent)
            if self._told.unknown:
                await asyncio.sleep(PAUSE_SECONDS)
        return len(self._told.unknown)

    # sending

    async def _send_all(self, sent: Sequence[Sent]) -> None:
        await (self._send(sent[0]) if len(sent) == 1 else self._send_batch(sent))

    async def _send(self, sent: Sent) -> None:
        """Once, and remember what came."""
        try:
            answer = await self._call(sent.request)
        except grpc.aio.AioRpcError as error:
            await self._refused(sent, reason_of(error))
        else:
            self._told.learn(sent, answer)

    async def _send_batch(self, batch: Sequence[Sent]) -> None:
        request = pb2.BatchSettleRequest(items=[each.request for each in batch])  # type: ignore[misc]
        try:
            results = (await self._stub.BatchSettle(request, timeout=self._timeout_seconds)).results
        except grpc.aio.AioRpcError:
            await asyncio.sleep(PAUSE_SECONDS)
            return
        for sent, result in zip(batch, results, strict=True):
            if result.refusal:
                await self._refused(sent, reason_pb2.Reason.Name(result.refusal).removeprefix("REASON_"))
            else:
                self._told.learn(sent, result.settlement)

    async def _refused(self, sent: Sent, reason: str | None) -> None:
        if reason in NOT_FINAL:
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            self._told.learn_refusal(sent, str(reason))

    async def _call(self, request: Request) -> Answer:
        match request:
            case pb2.SettleRequest():
                return (await self._stub.Settle(request, timeout=self._timeout_seconds)).settlement
            case pb2.ReverseRequest():
                return (await self._stub.Reverse(request, timeout=self._timeout_seconds)).settlement
            case pb2.ResettleRequest():
                return (await self._stub.Resettle(request, timeout=self._timeout_seconds)).settlement
            case pb2.PreSettleRequest():
                return (await self._stub.PreSettle(request, timeout=self._timeout_seconds)).quote
        portal = Portal(self._connections, request.payer_psn_no)
        answer = await portal.call(portal.premiums.PayPremium, request, timeout_seconds=self._timeout_seconds)
        return answer.premium

    # what is sent

    def _next(self, patient: Patient) -> Sequence[Sent]:
        """Mostly a new bill; sometimes something else, or about something earlier of the same patient."""
        roll = self._chance.random()
        for kind in self._kinds:
            if roll < kind.share:
                return kind.make(patient) or [self._bill(patient)]
            roll -= kind.share
        return [self._bill(patient)]

    def _bill(self, patient: Patient, quote: Sent | None = None) -> Sent:
        request = pb2.SettleRequest(
            fixmedins_code=HOSPITAL,
            msgid=self._msgid(),
            bill=self._of(patient.psn_no),
            visit_credential=patient.credential,
            acct_used_flag=self._chance.random() < 0.5,
            use_mutual_aid=True,
        )
        if quote is not None and isinstance(quote.answer, pb2.Quote):
            request.visit_credential, request.quote_id = "", quote.answer.quote_id
            request.bill.CopyFrom(quote.answer.bill)
            request.acct_used_flag = quote.answer.acct_used_flag
        return self._told.remember(request)

    def _batch(self, patient: Patient) -> Sequence[Sent]:
        others = self._chance.sample(self._families.patients, BATCH - 1)
        batch = [self._bill(each) for each in (patient, *others)]
        for each in batch:
            each.is_of_batch = True
        return batch

    def _preview(self, patient: Patient) -> Sequence[Sent]:
        request = pb2.PreSettleRequest(
            fixmedins_code=HOSPITAL,
            msgid=self._msgid(),
            bill=self._of(patient.psn_no),
            visit_credential=patient.credential,
            acct_used_flag=self._chance.random() < 0.5,
            use_mutual_aid=True,
            hold=True,
        )
        return [self._told.remember(request)]

    def _use(self, patient: Patient) -> Sequence[Sent]:
        held = [each for each in self._earlier(patient) if isinstance(each.answer, pb2.Quote) and not each.is_used]
        if not held:
            return ()
        held[0].is_used = True
        return [self._bill(patient, held[0])]

    def _again(self, patient: Patient) -> Sequence[Sent]:
        if not (bills := self._standing(patient)):
            return ()
        request = pb2.ResettleRequest(
            fixmedins_code=HOSPITAL,
            msgid=self._msgid(),
            original_msgid=self._chance.choice(bills).key,
            bill=self._of(patient.psn_no),
            acct_used_flag=self._chance.random() < 0.5,
            use_mutual_aid=True,
        )
        return [self._told.remember(request)]

    def _reversal(self, patient: Patient) -> Sequence[Sent]:
        if not (bills := self._standing(patient)):
            return ()
        original_msgid = self._chance.choice(bills).key
        request = pb2.ReverseRequest(fixmedins_code=HOSPITAL, msgid=self._msgid(), original_msgid=original_msgid)
        return [self._told.remember(request)]

    def _repeat(self, patient: Patient) -> Sequence[Sent]:
        return [self._chance.choice(bills)] if (bills := self._standing(patient)) else ()

    def _premium(self, patient: Patient) -> Sequence[Sent]:
        request = premium_pb2.PayPremiumRequest(
            payment_id=str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
            payer_psn_no=self._families.payer_of(patient),
            insured_psn_no=patient.psn_no,
            year=self._chance.choice(self._families.years),
        )
        return [self._told.remember(request)]

    def _earlier(self, patient: Patient) -> Sequence[Sent]:
        return self._told.of_patients.get(patient.psn_no, ())

    def _standing(self, patient: Patient) -> Sequence[Sent]:
        return [each for each in self._earlier(patient) if each.is_bill and each.stands]

    def _msgid(self) -> str:
        return msgid(HOSPITAL, self._now)

    def _of(self, psn_no: str) -> pb2.Bill:
        amount_fen = self._chance.randint(1, 900)
        return pb2.Bill(
            psn_no=psn_no,
            mdtrt_id=f"V{psn_no}",
            med_type=pb2.MEDICAL_TYPE_OUTPATIENT,
            medfee_sumamt=amount_fen,
            psn_part_amt=amount_fen,
        )
