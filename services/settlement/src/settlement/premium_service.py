"""Premiums: what they are, paying them by the settle pipeline, giving them back, and asking for them."""

from collections.abc import Sequence
from uuid import UUID

from kit.batcher import MicroBatcher
from kit.clock import Clock, shanghai_date
from kit.db import Work
from kit.errors import Refusal
from kit.ids import uuid7
from settlement import metrics
from settlement.binding_client import Ask, Authorizer, NoGrant
from settlement.commands import Command
from settlement.domain.premiums import FUND, Terms, check_refundable, is_premium
from settlement.domain.quotes import Quote
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.state import Order, Premium, Settlement, SettlementState
from settlement.repository import SettlementRepository
from settlement.reverse_service import give_back

Settling = MicroBatcher[Command, Settlement | Quote]


class PremiumService:
    """What PremiumService of the contract does.

    Args:
        work: units of work.
        settling: the settle pipeline, in which a person's premiums and bills come one after the other.
        authorizer: who knows which payers a person has.
        clock: business time.
    """

    def __init__(
        self, work: Work[SettlementRepository], settling: Settling, authorizer: Authorizer, clock: Clock
    ) -> None:
        self._work = work
        self._settling = settling
        self._authorizer = authorizer
        self._clock = clock

    async def state(self, terms: Terms, by: str) -> Terms:
        """What the premium of a year is from now on, as `by` says."""
        async with self._work() as repository:
            await repository.premiums.state(terms, by, self._clock.now())
        return terms

    async def terms(self, year: int) -> Terms:
        """What the premium of a year is.

        Raises:
            SettlementRefusedError: NOT_FOUND, nobody has stated it.
        """
        async with self._work() as repository:
            found = (await repository.premiums.terms([year])).get(year)
        if found is None:
            raise SettlementRefusedError(Reason.NOT_FOUND, "the premium of this year has not been stated")
        return found

    async def pay(self, order: Order, premium: Premium) -> Settlement:
        """The payment, which may have been refunded since.

        Raises:
            SettlementRefusedError: whatever refuses it; of a payer who could not pay, the payer's reason.
            Refusal: UNAVAILABLE, the payer's relation could not be looked up; nothing was written.
        """
        await self._require_relation(order, premium)
        answer = await self._settling.submit(Command(order, credential=""))
        if isinstance(answer, Quote):
            raise SettlementRefusedError(Reason.MSGID_REUSED, "this payment_id was used before with another body")
        return answer

    async def _require_relation(self, order: Order, premium: Premium) -> None:
        """Who has no relation to a person must not learn by trying whether that person lives or has paid."""
        key = (order.fixmedins_code, order.msgid)
        async with self._work() as repository:
            known = await repository.find_by_msgids([key])
            real_time = await repository.real_time()
        if known:
            return
        now, insured = self._clock.now(), order.bill.psn_no
        ask = Ask(uuid7(), insured, 1, now, real_time, payer_psn_no=premium.payer_psn_no)
        (granted,) = await self._authorizer.preview([ask])
        if isinstance(granted, NoGrant):
            cause = {"cause": granted.reason}
            raise Refusal("UNAVAILABLE", "the payer's relation could not be looked up; send the same again", cause)
        if not granted:
            raise SettlementRefusedError(Reason.NO_RELATION, "there is no relation between payer and insured")

    async def refund(self, premium_id: UUID, payer_psn_no: str | None) -> Settlement:
        """The payment, given back now unless it was before; `payer_psn_no` is who asks, None an operator.

        Raises:
            SettlementRefusedError: NOT_FOUND, IN_PROGRESS or PREMIUM_CLOSED.
            Refusal: FORBIDDEN, somebody else has paid it.
        """
        async with self._work() as repository:
            locked = await repository.lock([premium_id])
            now = self._clock.now()
            found = _found(locked.get(premium_id))
            if payer_psn_no not in {None, _premium_of(found).payer_psn_no}:
                raise Refusal("FORBIDDEN", "a premium is given back to who has paid it, or by an operator")
            paid = check_refundable(found, shanghai_date(now))
            refunded = await give_back(repository, [paid], now) if paid.state is SettlementState.SETTLED else []
        metrics.count(refunded)
        return refunded[0] if refunded else paid

    async def by_id(self, premium_id: UUID, seen_by: str | None) -> Settlement:
        """The payment of an id; `seen_by` is who asks, None an operator.

        Raises:
            SettlementRefusedError: NOT_FOUND.
            Refusal: FORBIDDEN, it is neither paid by nor for the one who asks.
        """
        async with self._work() as repository:
            found = (await repository.find_by_ids([premium_id])).get(premium_id)
        return _shown(found, seen_by)

    async def by_payment_id(self, payment_id: UUID, seen_by: str | None) -> Settlement:
        """The payment of a request; `seen_by` is who asks, None an operator.

        Raises:
            SettlementRefusedError: NOT_FOUND, which is not final while the request may still be on its way.
            Refusal: FORBIDDEN, it is neither paid by nor for the one who asks.
        """
        key = (FUND, str(payment_id))
        async with self._work() as repository:
            found = (await repository.find_by_msgids([key])).get(key)
        return _shown(found, seen_by)

    async def newest(self, psn_no: str, year: int | None, before: UUID | None, limit: int) -> Sequence[Settlement]:
        """At most `limit` payments for a person or from the person's account that took money, newest first."""
        async with self._work() as repository:
            ids = await repository.premiums.newest(psn_no, year, before, limit)
            found = await repository.find_by_ids(ids)
        return [found[each] for each in ids]


def _found(settlement: Settlement | None) -> Settlement:
    if settlement is None or not is_premium(settlement):
        raise SettlementRefusedError(Reason.NOT_FOUND, "there is no such payment of a premium")
    return settlement


def _premium_of(settlement: Settlement) -> Premium:
    if settlement.order is None or settlement.order.premium is None:
        raise SettlementRefusedError(Reason.NOT_FOUND, "there is no such payment of a premium")
    return settlement.order.premium


def _shown(settlement: Settlement | None, seen_by: str | None) -> Settlement:
    found = _found(settlement)
    insured = found.order.bill.psn_no if found.order else ""
    if seen_by not in {None, insured, _premium_of(found).payer_psn_no}:
        raise Refusal("FORBIDDEN", "a premium is shown to its payer and the insured only")
    return found
