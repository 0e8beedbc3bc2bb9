"""Hospitals that settle, settle again, reverse and repeat while things break, and remember what they were told."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import grpc
from faults.families import HOSPITAL, Patient

from gongji.settlement.v1 import settlement_pb2 as pb2
from gongji.settlement.v1 import settlement_pb2_grpc
from gongji_local.client import msgid, reason_of
from kit.clock import SHANGHAI, Elapsed
from kit.grpc_client import TlsFiles, secure_channel

CALLERS: Final = 8
TIMEOUT_SECONDS: Final = 5.0
FINAL_TIMEOUT_SECONDS: Final = 90.0
PAUSE_SECONDS: Final = 0.05
NOT_FINAL: Final = frozenset({None, "UNAVAILABLE", "OVERLOADED", "IN_PROGRESS", "INTERNAL", "DEADLINE_EXCEEDED"})
"""What an answer may say without saying what became of the request."""

Request = pb2.SettleRequest | pb2.ReverseRequest | pb2.ResettleRequest


@dataclass(slots=True)
class Sent:
    """One request under one msgid, and what is known of it."""

    request: Request
    answer: pb2.Settlement | None = None
    refusal: str | None = None
    replaced_by: str = ""
    """msgid of the request that settled this one's bill again, once that was acknowledged."""
    was_reversed: bool = False
    """Whether a reversal of it was acknowledged."""

    @property
    def is_final(self) -> bool:
        """Whether the hospital knows what became of it."""
        return self.answer is not None or self.refusal is not None


@dataclass(slots=True)
class Told:
    """Everything that was sent in all rounds."""

    sent: dict[str, Sent] = field(default_factory=dict)
    """By msgid."""

    @property
    def acknowledged(self) -> list[Sent]:
        """Settlements that were answered as settled."""
        return [each for each in self.sent.values() if each.answer is not None and _settles(each.request)]

    @property
    def unknown(self) -> list[Sent]:
        """Requests whose outcome the hospital does not know."""
        return [each for each in self.sent.values() if not each.is_final]

    def learn(self, sent: Sent, answer: pb2.Settlement) -> None:
        """An acknowledgement."""
        sent.answer = answer
        if isinstance(sent.request, pb2.ReverseRequest):
            self.sent[sent.request.original_msgid].was_reversed = True
        elif isinstance(sent.request, pb2.ResettleRequest):
            self.sent[sent.request.original_msgid].replaced_by = sent.request.msgid


class Hospitals:
    """So many callers, each with patients of its own, through a channel that may break.

    Args:
        target: where to call, which may be a proxy.
        tls: the institution's files.
        patients: who is treated.
        chance: what decides who is ill and with what.
        told: where everything is remembered.
        now: the time that msgids carry.
    """

    def __init__(  # noqa: PLR0917 - the parts of one round
        self,
        target: str,
        tls: TlsFiles,
        patients: Sequence[Patient],
        chance: random.Random,
        told: Told,
        now: datetime,
    ) -> None:
        self._channel = secure_channel(target, tls, options=[("grpc.max_reconnect_backoff_ms", 500)])
        self._stub: settlement_pb2_grpc.SettlementServiceAsyncStub = settlement_pb2_grpc.SettlementServiceStub(
            self._channel
        )
        self._patients = patients
        self._chance = chance
        self._told = told
        self._now = now.astimezone(SHANGHAI)

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()

    async def work(self, seconds: float) -> None:
        """Treat patients for so long."""
        elapsed = Elapsed()
        await asyncio.gather(*(self._caller(number, elapsed, seconds) for number in range(CALLERS)))

    async def _caller(self, number: int, elapsed: Elapsed, seconds: float) -> None:
        mine = self._patients[number::CALLERS]
        while elapsed.seconds < seconds:
            await self.send(self._next(self._chance.choice(mine)))

    async def resolve(self) -> int:
        """Send every request of unknown outcome again until it is known; how many stay unknown."""
        elapsed = Elapsed()
        while (unknown := self._told.unknown) and elapsed.seconds < FINAL_TIMEOUT_SECONDS:
            # In the order in which they were sent: of a bill and its reversal the bill first.
            for sent in unknown:
                await self.send(sent)
            if self._told.unknown:
                await asyncio.sleep(PAUSE_SECONDS)
        return len(self._told.unknown)

    async def send(self, sent: Sent) -> None:
        """Once, and remember what came."""
        try:
            answer = await self._call(sent.request)
        except grpc.aio.AioRpcError as error:
            if (reason := reason_of(error)) not in NOT_FINAL:
                if sent.answer is not None:
                    raise AssertionError(
                        f"{sent.request.msgid} was answered, and then refused with {reason}"
                    ) from error
                sent.refusal = sent.refusal or reason
            else:
                await asyncio.sleep(PAUSE_SECONDS)
            return
        if sent.answer is not None and sent.answer.split != answer.split:
            raise AssertionError(f"{sent.request.msgid} was answered {sent.answer.split} and then {answer.split}")
        self._told.learn(sent, answer)

    async def _call(self, request: Request) -> pb2.Settlement:
        if isinstance(request, pb2.SettleRequest):
            return (await self._stub.Settle(request, timeout=TIMEOUT_SECONDS)).settlement
        if isinstance(request, pb2.ReverseRequest):
            return (await self._stub.Reverse(request, timeout=TIMEOUT_SECONDS)).settlement
        return (await self._stub.Resettle(request, timeout=TIMEOUT_SECONDS)).settlement

    def _next(self, patient: Patient) -> Sent:
        """Mostly a new bill; sometimes something about an earlier one of the same patient."""
        earlier = [
            each
            for each in self._told.acknowledged
            if _patient_of(each) == patient.psn_no and not (each.was_reversed or each.replaced_by)
        ]
        roll = self._chance.random()
        if earlier and roll < 0.2:
            return self._remember(self._reversal(self._chance.choice(earlier)))
        if earlier and roll < 0.35:
            return self._remember(self._again(self._chance.choice(earlier), patient))
        if earlier and roll < 0.4:
            return self._chance.choice(earlier)
        return self._remember(self._bill(patient))

    def _remember(self, request: Request) -> Sent:
        self._told.sent[request.msgid] = Sent(request)
        return self._told.sent[request.msgid]

    def _bill(self, patient: Patient) -> pb2.SettleRequest:
        return pb2.SettleRequest(
            fixmedins_code=HOSPITAL,
            msgid=msgid(HOSPITAL, self._now),
            bill=self._of(patient.psn_no),
            visit_credential=patient.credential,
            use_mutual_aid=True,
        )

    def _again(self, earlier: Sent, patient: Patient) -> pb2.ResettleRequest:
        return pb2.ResettleRequest(
            fixmedins_code=HOSPITAL,
            msgid=msgid(HOSPITAL, self._now),
            original_msgid=earlier.request.msgid,
            bill=self._of(patient.psn_no),
            use_mutual_aid=True,
        )

    def _reversal(self, earlier: Sent) -> pb2.ReverseRequest:
        return pb2.ReverseRequest(
            fixmedins_code=HOSPITAL, msgid=msgid(HOSPITAL, self._now), original_msgid=earlier.request.msgid
        )

    def _of(self, psn_no: str) -> pb2.Bill:
        amount_fen = self._chance.randint(1, 900)
        return pb2.Bill(
            psn_no=psn_no,
            mdtrt_id=f"V{psn_no}",
            med_type=pb2.MEDICAL_TYPE_OUTPATIENT,
            medfee_sumamt=amount_fen,
            psn_part_amt=amount_fen,
        )


def _settles(request: Request) -> bool:
    return not isinstance(request, pb2.ReverseRequest)


def _patient_of(sent: Sent) -> str:
    return "" if isinstance(sent.request, pb2.ReverseRequest) else sent.request.bill.psn_no
