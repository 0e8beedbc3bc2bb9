"""A family's money by the rules of product.md alone: accounts, relations with limits, and who pays what.

It knows nothing of entries, batches, events or holds at two services. What is used under a relation is a list of
charges with their days; a window's use is their sum. It shares no code with the services.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

WINDOWS = ("settlement", "day", "month", "year", "total")


@dataclass
class Account:
    balance: int = 0
    held: int = 0
    frozen: bool = False

    @property
    def available(self) -> int:
        return self.balance - self.held


@dataclass
class Relation:
    payer: str
    patient: str
    limits: dict[str, int]
    valid_to: date
    state: str = "ACTIVE"


@dataclass
class Bill:
    """A settlement or a held preview."""

    patient: str
    amount: int
    at: datetime
    own: bool
    aid: bool
    acct_pay: int = 0
    lines: list[tuple[str, int]] = field(default_factory=list)
    declines: list[tuple[str, str, str]] = field(default_factory=list)
    state: str = "SETTLED"

    @property
    def cash(self) -> int:
        return self.amount - self.acct_pay - sum(amount for _, amount in self.lines)

    @property
    def day(self) -> date:
        return self.at.astimezone(ZoneInfo("Asia/Shanghai")).date()

    def payments(self) -> Iterator[tuple[str, int]]:
        if self.acct_pay:
            yield self.patient, self.acct_pay
        yield from self.lines


class Ledger:
    """What there is and what happened."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.relations: list[Relation] = []
        """In the order in which they pay."""
        self.bills: list[Bill] = []

    # what happens

    def settle(self, bill: Bill) -> Bill:
        """R9, R10: own account, payers in order, cash."""
        self._split(bill, {})
        for owner, amount in bill.payments():
            self.accounts[owner].balance -= amount
        self.bills.append(bill)
        return bill

    def hold(self, bill: Bill) -> Bill:
        """A preview that keeps its amounts."""
        self._split(bill, {})
        bill.state = "HELD"
        for owner, amount in bill.payments():
            self.accounts[owner].held += amount
        self.bills.append(bill)
        return bill

    def use(self, bill: Bill) -> None:
        """R13: what was held is paid, whatever happened since."""
        self.free(bill)
        bill.state = "SETTLED"
        for owner, amount in bill.payments():
            self.accounts[owner].balance -= amount

    def free(self, bill: Bill) -> None:
        """A held preview ends: cancelled, expired, or about to be paid."""
        bill.state = "FREED"
        for owner, amount in bill.payments():
            self.accounts[owner].held -= amount

    def reverse(self, bill: Bill) -> None:
        """R11: exactly those who paid get it back, and the limits with it."""
        bill.state = "REVERSED"
        for owner, amount in bill.payments():
            self.accounts[owner].balance += amount

    def resettle(self, first: Bill, bill: Bill) -> Bill:
        """R12: given back and settled again; each may pay again what that one paid."""
        self.reverse(first)
        self._split(bill, dict(first.payments()))
        for owner, amount in bill.payments():
            self.accounts[owner].balance -= amount
        self.bills.append(bill)
        return bill

    # who pays what

    def _split(self, bill: Bill, again: dict[str, int]) -> None:
        left = bill.amount
        own = self.accounts.get(bill.patient)
        if bill.own and own is not None:
            bill.acct_pay = min(left, self._spendable(own, again.get(bill.patient, 0)))
            left -= bill.acct_pay
        for relation in self.relations if bill.aid else ():
            if relation.patient != bill.patient or not left:
                continue
            given, why, window = self._share(relation, bill, left, again.get(relation.payer, 0))
            if given:
                bill.lines.append((relation.payer, given))
            if given < left:
                bill.declines.append((relation.payer, why, window))
            left -= given

    def _share(self, relation: Relation, bill: Bill, needed: int, again: int) -> tuple[int, str, str]:
        """What one payer gives of what is needed; and what set that amount, with the window of a limit."""
        account = self.accounts[relation.payer]
        unfit = self._unfit(relation, bill.day)
        room, window = self._room(relation, bill.day)
        may = min(needed, again) if unfit else needed
        limit_sets_it = room < (min(bill.amount, again) if unfit else bill.amount)
        granted = min(may, room)
        spendable = self._spendable(account, again)
        if unfit and not limit_sets_it:
            return min(granted, spendable), unfit, ""
        if account.frozen:
            return min(granted, spendable), "ACCOUNT_FROZEN", ""
        if spendable < granted:
            return spendable, "INSUFFICIENT_BALANCE", ""
        return granted, "LIMIT_REACHED", window

    def _spendable(self, account: Account, again: int) -> int:
        return min(account.available, again) if account.frozen else account.available

    def _unfit(self, relation: Relation, day: date) -> str:
        if relation.state == "ENDED":
            return "RELATION_ENDED"
        if relation.valid_to < day:
            return "RELATION_EXPIRED"
        return "RELATION_SUSPENDED" if relation.state == "SUSPENDED" else ""

    def _room(self, relation: Relation, day: date) -> tuple[int, str]:
        """R6: what the tightest window leaves, and which that is; on a tie the first."""
        rooms = {
            window: limit - (0 if window == "settlement" else self._used(relation, window, day))
            for window, limit in relation.limits.items()
        }
        tightest = min((window for window in WINDOWS if window in rooms), key=rooms.__getitem__)
        return max(0, rooms[tightest]), tightest

    def _used(self, relation: Relation, window: str, day: date) -> int:
        return sum(
            amount
            for bill in self.bills
            if bill.patient == relation.patient and bill.state in {"SETTLED", "HELD"} and _shares(window, bill.day, day)
            for payer, amount in bill.lines
            if payer == relation.payer
        )


def _shares(window: str, one: date, other: date) -> bool:
    parts = {"day": (one, other), "month": ((one.year, one.month), (other.year, other.month))}
    return window == "total" or (one.year == other.year if window == "year" else parts[window][0] == parts[window][1])
