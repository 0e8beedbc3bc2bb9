"""Plays a history on the real services, with all callers at once, and remembers what each was answered."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from model.families import Families, employed, sign_credentials
from model.history import Phase, Wish
from support.bus import publish, stored

from gongji.binding.v1 import relation_pb2
from gongji.common.v1 import reason_pb2
from gongji.identity.events.v1 import events_pb2
from gongji.settlement.v1 import account_pb2, premium_pb2, settlement_pb2
from gongji_local.client import Connections, Hospital, Operator, Portal, reason_of
from gongji_local.stack import Stack
from kit import errors
from kit.clock import SHANGHAI, SystemClock, shanghai_date

TRIES: Final = 200
PAUSE_SECONDS: Final = 0.05
COME_AGAIN: Final = frozenset({"IN_PROGRESS", "UNAVAILABLE", "OVERLOADED"})
"""Answers that say nothing of what became of a request: the same is sent again."""
TIMEOUT_SECONDS: Final = 14.0
NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass
class Sent:
    """One request, and what is known of it."""

    wish: Wish
    key: str
    """The msgid, payment_id or contribution_id; empty of what has none."""
    at: datetime
    """The services' time."""
    request: Message | None = None
    sent_at: datetime = NEVER
    answered_at: datetime = NEVER
    """Real times of the last try."""
    answer: object = None
    refusal: str = ""
    window: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_answered(self) -> bool:
        return self.answer is not None or bool(self.refusal)


class Player:
    """Hospitals' desks, citizens and clerks.

    Args:
        stack: whose services are called.
        connections: over which.
        families: who there is.
    """

    def __init__(self, stack: Stack, connections: Connections, families: Families) -> None:
        self._stack = stack
        self._families = families
        self._hospitals = {
            code: Hospital(connections, code, timeout_seconds=TIMEOUT_SECONDS) for code in families.hospitals
        }
        self._portals = {psn_no: Portal(connections, psn_no) for psn_no in families.employees}
        self._operator = Operator(connections)
        self._now = stack.now()
        self._sequences: dict[str, int] = {}
        """Of the last fact that was told of somebody."""
        self._telling = asyncio.Lock()
        self.sent: dict[int, Sent] = {}
        """By the wish's number."""
        self.phases: list[tuple[datetime, datetime]] = []
        """When each began, in real time, and the services' time in it."""

    async def play(self, phase: Phase) -> None:
        """Everybody of one phase at once, each one thing after the other."""
        self._now = self._stack.now() + phase.after
        self.phases.append((SystemClock().now(), self._now))
        self._stack.move_clock(self._now)
        sign_credentials(self._stack, self._families, phase.visit)
        for wish in sorted(phase.wishes, key=lambda each: each.number):
            self.sent[wish.number] = Sent(wish, self._key(wish), self._now)
        await asyncio.gather(*(self._work(caller) for caller in phase.callers))

    async def _work(self, caller: list[Wish]) -> None:
        for wish in caller:
            if wish.waits and wish.of is not None:
                await self.sent[wish.of.number].done.wait()
            try:
                await self._fulfil(wish)
            finally:
                for each in (wish, *wish.items):
                    self.sent[each.number].done.set()

    def _key(self, wish: Wish) -> str:
        if wish.kind in {"again", "pay again"} and wish.of is not None:
            return self.sent[wish.of.number].key
        if wish.kind == "premium":
            return str(uuid.uuid4())
        if wish.kind == "contribute":
            return f"{wish.payer}.{wish.number}"
        return f"{wish.hospital}{self._now.astimezone(SHANGHAI):%Y%m%d%H%M%S}{wish.number:04}" if wish.hospital else ""

    async def _fulfil(self, wish: Wish) -> None:
        ways: Mapping[str, Callable[[Wish], Awaitable[None]]] = {
            "settle": self._settle,
            "as previewed": self._settle_as_previewed,
            "hold": self._preview,
            "preview": self._preview,
            "batch": self._batch,
            "stream": self._stream,
            "use": self._use,
            "cancel": self._cancel,
            "reverse": self._reverse,
            "resettle": self._resettle,
            "again": self._again,
            "premium": self._premium,
            "pay again": self._premium,
            "refund": self._refund,
        }
        await ways.get(wish.kind, self._change)(wish)

    # hospitals

    def _bill(self, wish: Wish) -> settlement_pb2.Bill:
        return settlement_pb2.Bill(
            psn_no=wish.patient,
            mdtrt_id=f"{wish.visit}-{wish.patient}",
            med_type=settlement_pb2.MEDICAL_TYPE_OUTPATIENT,
            medfee_sumamt=wish.amount + 100,
            fund_pay_sumamt=100,
            psn_part_amt=wish.amount,
        )

    def _settle_request(self, wish: Wish) -> settlement_pb2.SettleRequest:
        return settlement_pb2.SettleRequest(
            fixmedins_code=wish.hospital,
            msgid=self.sent[wish.number].key,
            bill=self._bill(wish),
            visit_credential=self._families.credentials[wish.visit, wish.hospital, wish.patient],
            acct_used_flag=wish.own,
            use_mutual_aid=wish.aid,
        )

    async def _settle(self, wish: Wish, again: Wish | None = None) -> None:
        stub = self._hospitals[wish.hospital].settlements
        await self._send(again or wish, stub.Settle, self._settle_request(wish))

    async def _settle_as_previewed(self, wish: Wish) -> None:
        hospital, request = self._hospitals[wish.hospital], self._settle_request(wish)
        shown = await hospital.preview(
            request.bill, request.visit_credential, acct_used_flag=wish.own, use_mutual_aid=wish.aid
        )
        request.expected_acct_pay = shown.split.acct_pay
        request.expected_acct_mulaid_pay = shown.split.acct_mulaid_pay
        await self._send(wish, hospital.settlements.Settle, request)

    async def _preview(self, wish: Wish, again: Wish | None = None) -> None:
        settle, holds = self._settle_request(wish), wish.kind == "hold"
        request = settlement_pb2.PreSettleRequest(
            fixmedins_code=settle.fixmedins_code,
            bill=settle.bill,
            visit_credential=settle.visit_credential,
            acct_used_flag=wish.own,
            use_mutual_aid=wish.aid,
            hold=holds,
            msgid=settle.msgid if holds else "",
        )
        await self._send(again or wish, self._hospitals[wish.hospital].settlements.PreSettle, request)

    async def _batch(self, wish: Wish) -> None:
        requests = [self._settle_request(item) for item in wish.items]
        waiting = list(wish.items)
        for _ in range(TRIES):
            self._begin(waiting, requests)
            answer = await self._hospitals[wish.hospital].batch_settle(*requests)
            again = [at for at, result in enumerate(answer) if not self._take_in(waiting[at], result)]
            if not again:
                return
            waiting, requests = [waiting[at] for at in again], [requests[at] for at in again]
            await asyncio.sleep(PAUSE_SECONDS)

    async def _stream(self, wish: Wish) -> None:
        waiting = {self.sent[item.number].key: item for item in wish.items}
        for _ in range(TRIES):
            requests = [self._settle_request(item) for item in waiting.values()]
            self._begin(list(waiting.values()), requests)

            async def messages(each: list[settlement_pb2.SettleRequest] = requests) -> AsyncIterator[Message]:
                for request in each:
                    yield settlement_pb2.SettleStreamRequest(items=[request])

            async for result in self._hospitals[wish.hospital].settle_stream(messages()):  # type: ignore[arg-type]
                if self._take_in(waiting[result.msgid], result):
                    del waiting[result.msgid]
            if not waiting:
                return
            await asyncio.sleep(PAUSE_SECONDS)

    def _begin(self, wishes: list[Wish], requests: list[settlement_pb2.SettleRequest]) -> None:
        for wish, request in zip(wishes, requests, strict=True):
            sent = self.sent[wish.number]
            sent.request, sent.sent_at = request, SystemClock().now()

    def _take_in(self, wish: Wish, result: settlement_pb2.SettleResult) -> bool:
        """Whether that is an answer."""
        sent = self.sent[wish.number]
        reason = _name(result.refusal) if result.refusal else ""
        if reason in COME_AGAIN:
            return False
        sent.answered_at, sent.refusal = SystemClock().now(), reason
        sent.answer = None if reason else result.settlement
        return True

    async def _use(self, wish: Wish) -> None:
        if quote_id := self._quote_of(wish):
            request = self._settle_request(wish)
            request.visit_credential, request.quote_id = "", quote_id
            await self._send(wish, self._hospitals[wish.hospital].settlements.Settle, request)

    async def _cancel(self, wish: Wish) -> None:
        if quote_id := self._quote_of(wish):
            request = settlement_pb2.CancelQuoteRequest(fixmedins_code=wish.hospital, quote_id=quote_id)
            await self._send(wish, self._hospitals[wish.hospital].settlements.CancelQuote, request)

    def _quote_of(self, wish: Wish) -> str:
        answer = self.sent[wish.of.number].answer if wish.of else None
        return answer.quote.quote_id if isinstance(answer, settlement_pb2.PreSettleResponse) else ""

    async def _reverse(self, wish: Wish) -> None:
        request = settlement_pb2.ReverseRequest(
            fixmedins_code=wish.hospital, msgid=self.sent[wish.number].key, original_msgid=self._msgid_of(wish)
        )
        await self._send(wish, self._hospitals[wish.hospital].settlements.Reverse, request)

    async def _resettle(self, wish: Wish) -> None:
        request = settlement_pb2.ResettleRequest(
            fixmedins_code=wish.hospital,
            msgid=self.sent[wish.number].key,
            original_msgid=self._msgid_of(wish),
            bill=self._bill(wish),
            acct_used_flag=wish.own,
            use_mutual_aid=wish.aid,
        )
        await self._send(wish, self._hospitals[wish.hospital].settlements.Resettle, request)

    def _msgid_of(self, wish: Wish) -> str:
        return self.sent[wish.of.number].key if wish.of else ""

    async def _again(self, wish: Wish) -> None:
        of = wish.of
        if of is None or of.kind not in {"settle", "hold"}:
            return
        await (self._settle(of, wish) if of.kind == "settle" else self._preview(of, wish))

    # citizens

    async def _premium(self, wish: Wish) -> None:
        portal = self._portals[wish.payer]
        request = premium_pb2.PayPremiumRequest(
            payment_id=self.sent[wish.number].key,
            payer_psn_no=wish.payer,
            insured_psn_no=wish.patient,
            year=wish.year,
        )
        await self._send(wish, portal.premiums.PayPremium, request)

    async def _refund(self, wish: Wish) -> None:
        answer = self.sent[wish.of.number].answer if wish.of else None
        if isinstance(answer, premium_pb2.PayPremiumResponse):
            request = premium_pb2.RefundPremiumRequest(
                request_id=str(uuid.uuid4()), premium_id=answer.premium.premium_id
            )
            await self._send(wish, self._portals[wish.payer].premiums.RefundPremium, request)

    # clerks

    async def _change(self, wish: Wish) -> None:
        operator, sent = self._operator, self.sent[wish.number]
        relation_id = str(self._families.relation_ids[wish.relation])
        payer = self._portals[self._families.relations[wish.relation].payer]
        limits = relation_pb2.Limits(**{f"{window}_fen": fen for window, fen in wish.limits.items()})
        ways: Mapping[str, Callable[[], Awaitable[object]]] = {
            "freeze": lambda: operator.freeze_account(wish.payer, "history"),
            "unfreeze": lambda: operator.unfreeze_account(wish.payer, "history"),
            "contribute": lambda: operator.record_contribution(wish.payer, sent.key, wish.amount),
            "limits": lambda: payer.change_limits(relation_id, limits),
            "suspend": lambda: operator.suspend_relation(relation_id, "history"),
            "resume": lambda: operator.resume_relation(relation_id),
            "unbind": lambda: payer.unbind(relation_id),
            "close": lambda: operator.console.call(operator.accounts.CloseAccount, self._closing(wish)),
            "pay out": lambda: self._pay_out(wish),
            **dict.fromkeys(("arrears", "catch up", "die"), lambda: self._tell(wish)),
        }
        await self._try(sent, ways[wish.kind])

    def _closing(self, wish: Wish) -> account_pb2.CloseAccountRequest:
        return account_pb2.CloseAccountRequest(psn_no=wish.payer, payout=_payout(wish))

    async def _pay_out(self, wish: Wish) -> int:
        """Whatever waits on a closed account; somebody else may be about the same. How many there were."""
        operator, state = self._operator, account_pb2.CLOSED_REFUND_STATE_OPEN
        asked = account_pb2.ListClosedRefundsRequest(psn_no=wish.payer, state=state, page_size=500)
        waiting = (await operator.console.call(operator.accounts.ListClosedRefunds, asked)).closed_refunds
        for refund in waiting:
            request = account_pb2.PayOutClosedRefundRequest(
                closed_refund_id=refund.closed_refund_id, payout=_payout(wish, heirs=False)
            )
            with contextlib.suppress(grpc.aio.AioRpcError):
                await operator.console.call(operator.accounts.PayOutClosedRefund, request)
        return len(waiting)

    async def _tell(self, wish: Wish) -> bool:
        """As identity would: of a death, of arrears, or of their end."""
        async with self._telling:  # what is told of somebody comes in the order of its sequence
            self._sequences[wish.payer] = sequence = self._sequences.get(wish.payer, 1) + 1
            at = Timestamp()
            at.FromDatetime(self._now)
            if wish.kind == "die":
                fact: Message = events_pb2.PersonDied(
                    psn_no=wish.payer, sequence=sequence, recorded_at=at, died_on=f"{shanghai_date(self._now)}"
                )
            else:
                insured = employed(arrears=wish.kind == "arrears")
                fact = events_pb2.EnrolmentChanged(
                    psn_no=wish.payer, sequence=sequence, changed_at=at, enrolment=insured
                )
            await publish(self._stack.info.kafka_bootstrap, stored(fact, wish.payer))
        return True

    # sending

    async def _send(self, wish: Wish, method: Callable[..., Awaitable[Message]], request: Message) -> None:
        sent, caller = self.sent[wish.number], self._caller(wish)
        sent.request = request
        await self._try(sent, lambda: caller.call(method, request))  # type: ignore[arg-type]

    def _caller(self, wish: Wish) -> Hospital | Portal:
        return self._hospitals[wish.hospital] if wish.hospital else self._portals[wish.payer]

    async def _try(self, sent: Sent, call: Callable[[], Awaitable[object]]) -> None:
        for _ in range(TRIES):
            sent.sent_at = SystemClock().now()
            try:
                answer = await call()
            except grpc.aio.AioRpcError as error:
                reason = reason_of(error) or error.code().name
                if reason in COME_AGAIN:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                sent.answered_at = SystemClock().now()
                info = errors.error_info(error)
                sent.refusal, sent.window = reason, info.metadata.get("window", "").lower() if info else ""
                return
            sent.answered_at = SystemClock().now()
            sent.answer = answer
            return
        raise AssertionError(f"no answer in {TRIES} tries: {sent.wish}")


def _payout(wish: Wish, *, heirs: bool | None = None) -> account_pb2.Payout:
    to_heirs = wish.heirs if heirs is None else heirs
    way = account_pb2.PAYOUT_WAY_HEIRS if to_heirs else account_pb2.PAYOUT_WAY_TRANSFER
    return account_pb2.Payout(way=way, reason="history", authority="history")


def _name(reason: int) -> str:
    return reason_pb2.Reason.Name(reason_pb2.Reason.ValueType(reason)).removeprefix("REASON_")
