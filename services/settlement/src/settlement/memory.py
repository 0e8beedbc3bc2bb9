"""Settlements in memory: the double of `PostgresSettlementRepository` for unit tests.

The contract suite runs the same tests on both, so it refuses, passes over and orders as the tables do.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from uuid import UUID

from kit.clock import shanghai_date
from kit.testing import MemoryOutbox
from settlement.account_memory import check_unmoved
from settlement.domain.accounts import Account
from settlement.domain.closing import ClosedRefund, refunds_to_closed
from settlement.domain.decided import Decided, Paid, decided_of
from settlement.domain.ledger import EntryRow, Posted
from settlement.domain.quotes import Quote, QuoteState
from settlement.domain.state import Intent, Order, OrderKind, Settlement, SettlementState
from settlement.domain.visit import InstitutionFacts, PersonFacts
from settlement.listing import Place, listed_at
from settlement.premium_memory import MemoryPremiums, insured_year
from settlement.quote_memory import MemoryQuotes
from settlement.repository import Backlog, Lately, Locked, MsgKey, Projections, Reversal, Seen, Sought, Written

RECENT = timedelta(days=1)
RECENT_LIMIT = 200


class MemorySettlements:
    """See `settlement.repository.SettlementRepository`. Use with `kit.testing.MemoryWork`."""

    persons: dict[str, PersonFacts]
    institutions: dict[str, InstitutionFacts]

    def __init__(self) -> None:
        self.settlements: dict[UUID, Settlement] = {}
        self.created_at: dict[UUID, datetime] = {}
        self.updated_at: dict[UUID, datetime] = {}
        self.reversals: dict[MsgKey, Reversal] = {}
        self.credential_uses: dict[str, str] = {}
        self.accounts: dict[str, Account] = {}
        self.entries: list[EntryRow] = []
        self.closed_refunds: list[ClosedRefund] = []
        self.closed_days: set[date] = set()
        self.persons = {}
        self.institutions = {}
        self.outbox = MemoryOutbox("settlement")
        self.quotes = MemoryQuotes(self)
        self.premiums = MemoryPremiums(self)
        self.ticks: list[datetime] = [datetime(2025, 6, 10, 2, tzinfo=UTC)]

    async def real_time(self) -> datetime:
        """See `SettlementRepository.real_time`; every look is a microsecond later."""
        self.ticks[0] += timedelta(microseconds=1)
        return self.ticks[0]

    async def find_by_msgids(self, keys: Iterable[MsgKey]) -> dict[MsgKey, Settlement]:
        """See `SettlementRepository.find_by_msgids`."""
        wanted = set(keys)
        by_key = {(each.fixmedins_code, each.msgid): each for each in self.settlements.values()}
        return {key: by_key[key] for key in wanted & by_key.keys()}

    async def find_by_ids(self, ids: Iterable[UUID]) -> dict[UUID, Settlement]:
        """See `SettlementRepository.find_by_ids`."""
        return {each: self.settlements[each] for each in ids if each in self.settlements}

    async def of_day(self, fixmedins_code: str, day: date, after: Place, limit: int) -> list[Settlement]:
        """See `SettlementRepository.of_day`."""
        places = {
            Place(at, each.settlement_id): each
            for each in self.settlements.values()
            if each.fixmedins_code == fixmedins_code and _is_bill(each) and (at := listed_at(each)) is not None
        }
        return [places[place] for place in sorted(places) if shanghai_date(place.at) == day and place > after][:limit]

    async def find_reversals(self, keys: Iterable[MsgKey]) -> dict[MsgKey, Reversal]:
        """See `SettlementRepository.find_reversals`."""
        return {key: self.reversals[key] for key in keys if key in self.reversals}

    async def projections(self, psn_nos: Iterable[str], fixmedins_codes: Iterable[str]) -> Projections:
        """See `SettlementRepository.projections`."""
        persons = {psn_no: self.persons[psn_no] for psn_no in psn_nos if psn_no in self.persons}
        institutions = {code: self.institutions[code] for code in fixmedins_codes if code in self.institutions}
        return Projections(persons, institutions)

    async def bound_visits(self, jtis: Iterable[str]) -> dict[str, str]:
        """See `SettlementRepository.bound_visits`."""
        return {jti: self.credential_uses[jti] for jti in jtis if jti in self.credential_uses}

    async def look(self, sought: Sought, now: datetime) -> Seen:
        """See `SettlementRepository.look`."""
        settlements, quotes = await self.find_by_msgids(sought.keys), await self.quotes.find_by_msgids(sought.keys)
        return Seen(
            any_known=bool(settlements or quotes or await self.find_reversals(sought.keys)),
            any_due=bool(await self.quotes.take_expired(now, 1)),
            bound_visits=await self.bound_visits(sought.jtis),
            told=await self.projections(sought.psn_nos, sought.fixmedins_codes),
        )

    async def add_intents(self, intents: Sequence[Intent]) -> dict[UUID, Written]:
        """See `SettlementRepository.add_intents`."""
        written = {}
        for intent in sorted(intents, key=lambda each: (each.order.bill.psn_no, each.order.msgid)):
            if not self._is_taken(intent.settlement):
                binds = intent.jti is not None and intent.jti not in self.credential_uses
                if intent.jti is not None:
                    self.credential_uses.setdefault(intent.jti, intent.order.bill.mdtrt_id)
                written[intent.settlement_id] = Written(await self._put(intent.settlement), binds)
        return written

    def _is_taken(self, new: Settlement) -> bool:
        return any(
            (each.fixmedins_code, each.msgid) == (new.fixmedins_code, new.msgid)
            or _same_patient_pending(each, new)
            or _same_premium(each, new)
            for each in self.settlements.values()
        )

    async def _put(self, settlement: Settlement) -> datetime:
        at = await self.real_time()
        self.settlements[settlement.settlement_id] = settlement
        self.created_at.setdefault(settlement.settlement_id, at)
        self.updated_at[settlement.settlement_id] = at
        return at

    async def withdraw_intents(self, ids: Sequence[UUID]) -> None:
        """See `SettlementRepository.withdraw_intents`."""
        for each in ids:
            del self.settlements[each], self.created_at[each], self.updated_at[each]

    async def withdraw_fences(self, ids: Collection[UUID]) -> None:
        """See `SettlementRepository.withdraw_fences`."""
        await self.withdraw_intents(list(ids))

    async def lately(self, psn_nos: Iterable[str], written: Sequence[Intent] = ()) -> Lately:
        """See `SettlementRepository.lately`."""
        since = await self.real_time() - RECENT
        recent = {psn_no: self._decided_since(psn_no, since) for psn_no in set(psn_nos)}
        keys = {each.settlement_id: (each.order.fixmedins_code, each.order.msgid) for each in written}
        gone = self.reversals.keys() | await self.quotes.find_by_msgids(keys.values())
        taken = {settlement_id for settlement_id, key in keys.items() if key in gone}
        return Lately({psn_no: decided for psn_no, decided in recent.items() if decided}, taken)

    def _decided_since(self, psn_no: str, since: datetime) -> list[Decided]:
        told = [
            (self.updated_at[each.settlement_id], decided_of(each))
            for each in self.settlements.values()
            if each.order is not None and _asked(each.order, psn_no) and each.state is not SettlementState.PENDING
        ]
        told += [
            (self.quotes.updated_at[each.quote_id], _kept(each))
            for each in self.quotes.quotes.values()
            if _asked(each.order, psn_no) and each.state is not QuoteState.USED
        ]
        lately = sorted((each for each in told if each[0] > since), key=itemgetter(0))
        return [decided for _, decided in lately][-RECENT_LIMIT:]

    async def lock_to_settle(self, ids: Iterable[UUID], psn_nos: Iterable[str], day: date) -> Locked:
        """See `SettlementRepository.lock_to_settle`; every day has its row."""
        found = await self.find_by_ids(ids)
        pending = {key for key, each in found.items() if each.state is SettlementState.PENDING}
        return Locked(pending, await self.read_accounts(psn_nos), day not in self.closed_days)

    async def lock(self, ids: Iterable[UUID]) -> dict[UUID, Settlement]:
        """See `SettlementRepository.lock`."""
        return await self.find_by_ids(ids)

    async def take_stale(self, age_seconds: float, limit: int) -> list[Settlement]:
        """See `SettlementRepository.take_stale`."""
        before = await self.real_time() - timedelta(seconds=age_seconds)
        stale = [
            each
            for each in self.settlements.values()
            if each.state is SettlementState.PENDING and self.created_at[each.settlement_id] < before
        ]
        return sorted(stale, key=lambda each: self.created_at[each.settlement_id])[:limit]

    async def pending(self) -> Backlog:
        """See `SettlementRepository.pending`."""
        now = await self.real_time()
        pending = [each for each in self.settlements.values() if each.state is SettlementState.PENDING]
        since = [self.created_at[each.settlement_id] for each in pending]
        return Backlog(len(since), (now - min(since)).total_seconds() if since else 0.0)

    async def save(self, settlements: Sequence[Settlement], business_day: date | None = None) -> None:
        """See `SettlementRepository.save`."""
        del business_day
        for settlement in settlements:
            await self._put(settlement)

    async def add_decided(self, settlements: Sequence[Settlement], business_day: date) -> None:
        """See `SettlementRepository.add_decided`."""
        await self.save(settlements, business_day)

    async def add_fences(self, fences: Sequence[Settlement]) -> set[UUID]:
        """See `SettlementRepository.add_fences`."""
        written = [fence for fence in fences if not self._is_taken(fence)]
        for fence in written:
            await self._put(fence)
        return {fence.settlement_id for fence in written}

    async def add_reversals(self, reversals: Sequence[Reversal]) -> None:
        """See `SettlementRepository.add_reversals`."""
        for reversal in reversals:
            self.reversals.setdefault(reversal.key, reversal)

    async def lock_accounts(self, psn_nos: Iterable[str]) -> dict[str, Account]:
        """See `SettlementRepository.lock_accounts`."""
        return await self.read_accounts(psn_nos)

    async def read_accounts(self, psn_nos: Iterable[str]) -> dict[str, Account]:
        """See `SettlementRepository.read_accounts`."""
        return {psn_no: self.accounts[psn_no] for psn_no in psn_nos if psn_no in self.accounts}

    async def hold_business_day(self, day: date) -> bool:
        """See `SettlementRepository.hold_business_day`."""
        return day not in self.closed_days

    async def post(self, posted: Posted, accounts: Mapping[str, Account]) -> None:
        """See `SettlementRepository.post`."""
        check_unmoved(posted.rows, self.accounts)
        self.closed_refunds += refunds_to_closed(posted, accounts)
        # Not as they were locked: what quotes have freed since is not to be undone.
        self.entries.extend(posted.rows)
        for psn_no, standing in posted.standings.items():
            self.accounts[psn_no] = self.accounts[psn_no].after(standing)


def _kept(quote: Quote) -> Decided:
    lines = tuple(Paid(line.relation_id, line.amount_fen) for line in quote.split.lines)
    return Decided(quote.quote_id, quote.state, quote.occurred_at, lines)


def _asked(order: Order, psn_no: str) -> bool:
    return order.bill.psn_no == psn_no and order.asks_payers


def _same_premium(one: Settlement, other: Settlement) -> bool:
    living = {SettlementState.PENDING, SettlementState.SETTLED}
    key = insured_year(one)
    return key is not None and key == insured_year(other) and {one.state, other.state} <= living


def _same_patient_pending(one: Settlement, other: Settlement) -> bool:
    pending = one.state is other.state is SettlementState.PENDING
    if not pending or one.order is None or other.order is None:
        return False
    return one.order.bill.psn_no == other.order.bill.psn_no


def _is_bill(settlement: Settlement) -> bool:
    return settlement.order is None or settlement.order.kind is OrderKind.BILL
