"""A family's money by the rules of product.md alone: accounts, relations with limits, premiums, and who pays what.

It knows nothing of entries, batches, events or two services. What is used under a relation is what its bills charge to
it, with their days; a window's use is their sum. It shares no code with the services.

A bill is settled in one step (`settle`), or in those that others may come between: payers are asked and the limits that
they grant are charged (`authorize`), accounts pay (`pay`), and the limits learn what it came to (`hear`).
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
    state: str = "OPEN"
    arrears: bool = False
    """Whether its owner is in arrears, who then pays for nobody else."""
    dead: bool = False
    """Whether its owner has died, who then keeps it frozen until it is closed."""

    @property
    def available(self) -> int:
        return self.balance - self.held


@dataclass(frozen=True)
class Terms:
    """What the resident premium of a year is, and on which days it is collected."""

    amount: int
    collect_from: date
    collect_to: date


@dataclass
class Relation:
    payer: str
    patient: str
    limits: dict[str, int]
    valid_to: date
    state: str = "ACTIVE"


@dataclass(frozen=True)
class Asked:
    """What a relation said when its payer was asked."""

    payer: str
    unfit: str
    """Why it pays nothing anew; empty if it may."""
    room: int
    window: str
    """The tightest window and what it leaves."""

    def grants(self, needed: int, again: int) -> int:
        """What the limits let it give; `again` is what it may pay whatever has become of it."""
        return min(min(needed, again) if self.unfit else needed, self.room)


@dataclass
class Bill:
    """A settlement, a held preview, or the payment of a premium."""

    patient: str
    amount: int
    at: datetime
    own: bool
    aid: bool
    premium_year: int = 0
    only_payer: str = ""
    """The one who is asked, as for a premium; empty: all of the patient's."""
    expected: tuple[int | None, int | None] = (None, None)
    """What own account and mutual aid are expected to pay."""
    replaces: "Bill | None" = None
    acct_pay: int = 0
    lines: list[tuple[str, int]] = field(default_factory=list)
    declines: list[tuple[str, str, str]] = field(default_factory=list)
    state: str = "NEW"
    reason: str = ""
    asked: list[Asked] = field(default_factory=list)
    charged: dict[str, int] = field(default_factory=dict)
    """By payer, what counts against the limits, as far as they have heard."""
    after: dict[str, int] = field(default_factory=dict)
    """By account, the balance as this left it."""
    shown: dict[str, int] = field(default_factory=dict)
    """The same as a held preview has shown it."""
    refunded: dict[str, int] = field(default_factory=dict)
    """By account, the balance after it was given back."""

    @property
    def aid_pay(self) -> int:
        return sum(amount for _, amount in self.lines)

    @property
    def cash(self) -> int:
        return self.amount - self.acct_pay - self.aid_pay

    @property
    def day(self) -> date:
        return _day(self.at)

    def payments(self) -> Iterator[tuple[str, int]]:
        if self.acct_pay:
            yield self.patient, self.acct_pay
        yield from self.lines

    def again(self, owner: str) -> int:
        """R12: what an account may pay once more because it paid in the settlement that this one replaces."""
        return dict(self.replaces.payments()).get(owner, 0) if self.replaces else 0


class Ledger:
    """What there is and what happened; accounts pay in this order (R9), the patient's own or mutual aid first."""

    def __init__(self, order: str = "own_account_first") -> None:
        self._own_pays_first = {"own_account_first": True, "mutual_aid_first": False}[order]
        self.accounts: dict[str, Account] = {}
        self.relations: list[Relation] = []
        """In the order in which they pay."""
        self.bills: list[Bill] = []
        self.terms: dict[int, Terms] = {}
        """By year."""
        self.residents: set[str] = set()
        """Whose premiums there are."""

    # in one step

    def settle(self, bill: Bill) -> Bill:
        """R9, R10: own account and payers in their order, what is left is cash."""
        self.authorize(bill)
        self.pay(bill)
        self.hear(bill)
        return bill

    def hold(self, bill: Bill) -> Bill:
        """A preview that keeps its amounts."""
        self.authorize(bill)
        self.keep(bill)
        self.hear(bill)
        return bill

    def preview(self, bill: Bill) -> Bill:
        """What it would come to."""
        self._ask(bill)
        self._split(bill)
        return bill

    def reverse(self, bill: Bill) -> None:
        """R11: exactly those who paid get it back, and the limits with it."""
        self.give_back(bill)
        self.hear(bill)

    def cancel(self, bill: Bill) -> None:
        """A held preview ends unpaid: cancelled or expired."""
        self.free(bill)
        self.hear(bill)

    def resettle(self, first: Bill, bill: Bill) -> Bill:
        """R12: given back and settled again; each may pay again what that one paid."""
        bill.replaces = first
        return self.settle(bill)

    # in the steps that others may come between

    def authorize(self, bill: Bill) -> None:
        """Payers are asked; what they grant is charged to their limits until it is known what was paid."""
        self._ask(bill)
        bill.charged = {each.payer: each.grants(bill.amount, bill.again(each.payer)) for each in bill.asked}
        self.bills.append(bill)

    def pay(self, bill: Bill) -> None:
        """The accounts pay, or nothing is taken: the split is not the expected one, or a premium would not be whole."""
        first = bill.replaces
        if first:
            self.give_back(first)
        self._split(bill)
        bill.reason = self._refusal(bill)
        bill.state = "REFUSED" if bill.reason else "SETTLED"
        if bill.state == "SETTLED":
            self._move(bill, -1)
        elif first:
            self._move(first, -1)
            first.state, first.refunded = "SETTLED", {}

    def keep(self, bill: Bill) -> None:
        """The accounts keep what a preview came to."""
        self._split(bill)
        bill.state, bill.shown = "HELD", dict(bill.after)
        for owner, amount in bill.payments():
            self.accounts[owner].held += amount

    def use(self, bill: Bill) -> None:
        """R13: what was held is paid, whatever happened since."""
        self.free(bill)
        bill.state = "SETTLED"
        self._move(bill, -1)
        bill.after = {owner: self.accounts[owner].balance for owner in bill.after}

    def free(self, bill: Bill) -> None:
        """A held preview ends: cancelled, expired, or about to be paid."""
        bill.state = "FREED"
        for owner, amount in bill.payments():
            self.accounts[owner].held -= amount

    def give_back(self, bill: Bill) -> None:
        """Exactly those who paid get it back."""
        bill.state = "REVERSED"
        self._move(bill, 1)
        bill.refunded = {owner: self.accounts[owner].balance for owner, _ in bill.payments()}

    def hear(self, bill: Bill) -> None:
        """The limits learn what a bill came to, and with it that what it replaces was given back."""
        bill.charged = dict(bill.lines) if bill.state in {"SETTLED", "HELD"} else {}
        if bill.replaces and bill.state in {"SETTLED", "REVERSED"}:
            bill.replaces.charged = {}

    def _move(self, bill: Bill, sign: int) -> None:
        for owner, amount in bill.payments():
            self.accounts[owner].balance += sign * amount

    # premiums

    def premium(self, payer: str, insured: str, year: int, at: datetime) -> Bill:
        """R7: the payment of one, which is asked of nobody but the one payer."""
        amount = self.terms[year].amount
        return Bill(insured, amount, at, own=False, aid=True, premium_year=year, only_payer=payer)

    def premium_refusal(self, payer: str, insured: str, year: int, at: datetime) -> str:
        """Why a premium is not even asked for; of several the first in the vocabulary's order."""
        if not any((each.payer, each.patient) == (payer, insured) for each in self.relations):
            return "NO_RELATION"
        if insured not in self.residents:
            return "NOT_INSURED"
        if any((bill.patient, bill.premium_year, bill.state) == (insured, year, "SETTLED") for bill in self.bills):
            return "PREMIUM_ALREADY_PAID"
        terms, today = self.terms.get(year), _day(at)
        return "" if terms and terms.collect_from <= today <= terms.collect_to else "PREMIUM_CLOSED"

    def refund_refusal(self, premium: Bill, at: datetime) -> str:
        """Why a premium is not given back: it took nothing, or its year has begun."""
        if premium.state == "REFUSED":
            return "NOT_FOUND"
        return "PREMIUM_CLOSED" if premium.state == "SETTLED" and _day(at).year >= premium.premium_year else ""

    # accounts

    def close(self, psn_no: str) -> str:
        """An account ends and its balance leaves; or why it may not."""
        account = self.accounts[psn_no]
        if account.state != "CLOSED" and (account.held or (account.state == "FROZEN" and not account.dead)):
            return "STATE_FORBIDS"
        if account.state != "CLOSED":
            account.balance, account.state = 0, "CLOSED"
        return ""

    # who pays what

    def _refusal(self, bill: Bill) -> str:
        if bill.only_payer and bill.cash:
            return bill.declines[-1][1]
        found = (bill.acct_pay, bill.aid_pay)
        wrong = any(wanted not in {None, paid} for wanted, paid in zip(bill.expected, found, strict=True))
        return "AMOUNT_CHANGED" if wrong else ""

    def _ask(self, bill: Bill) -> None:
        of_patient = [each for each in self.relations if each.patient == bill.patient] if bill.aid else []
        bill.asked = [self.ask(each, bill) for each in of_patient if bill.only_payer in {"", each.payer}]

    def ask(self, relation: Relation, bill: Bill) -> Asked:
        """What one relation says to a bill now."""
        room, window = self._room(relation, bill)
        return Asked(relation.payer, self._unfit(relation, bill.day), room, window)

    def _split(self, bill: Bill) -> None:
        left = bill.amount
        if self._own_pays_first:
            left -= self._own_pays(bill, left)
        left -= self._payers_pay(bill, left)
        if not self._own_pays_first:
            self._own_pays(bill, left)

    def _own_pays(self, bill: Bill, left: int) -> int:
        own = self.accounts.get(bill.patient)
        if own is not None:
            bill.acct_pay = min(left, spendable(own, bill.again(bill.patient))) if bill.own else 0
            bill.after[bill.patient] = own.balance - bill.acct_pay
        return bill.acct_pay

    def _payers_pay(self, bill: Bill, left: int) -> int:
        for asked in bill.asked:
            if not left:
                break
            account = self.accounts[asked.payer]
            given, why, window = share(asked, account, bill, left)
            if given:
                bill.lines.append((asked.payer, given))
                bill.after[asked.payer] = account.balance - given
            if given < left:
                bill.declines.append((asked.payer, why, window))
            left -= given
        return bill.aid_pay

    def _unfit(self, relation: Relation, day: date) -> str:
        if relation.state == "ENDED":
            return "RELATION_ENDED"
        if relation.valid_to < day:
            return "RELATION_EXPIRED"
        if relation.state == "SUSPENDED":
            return "RELATION_SUSPENDED"
        return "PAYER_ARREARS" if self.accounts[relation.payer].arrears else ""

    def _room(self, relation: Relation, bill: Bill) -> tuple[int, str]:
        """R6: what the tightest window leaves, and which that is; on a tie the first."""
        rooms = {
            window: limit - (0 if window == "settlement" else self.charged(relation, window, bill.day, bill.replaces))
            for window, limit in relation.limits.items()
        }
        tightest = min((window for window in WINDOWS if window in rooms), key=rooms.__getitem__)
        return max(0, rooms[tightest]), tightest

    def charged(self, relation: Relation, window: str, day: date, without: Bill | None = None) -> int:
        """What counts in one window of a relation; of a bill and what it replaces the greater of the two."""
        total = 0
        for bill in self.bills:
            if bill.patient != relation.patient or bill is without:
                continue
            own = _charge(bill, relation.payer, window, day)
            replaced = _charge(bill.replaces, relation.payer, window, day) if bill.replaces else 0
            total += max(0, own - replaced)
        return total


def share(asked: Asked, account: Account, bill: Bill, needed: int) -> tuple[int, str, str]:
    """What one payer gives of what is needed; and what set that amount, with the window of a limit."""
    again = bill.again(asked.payer)
    limit_sets_it = asked.room < (min(bill.amount, again) if asked.unfit else bill.amount)
    granted, available = asked.grants(needed, again), spendable(account, again)
    if asked.unfit and not limit_sets_it:
        return min(granted, available), asked.unfit, ""
    if account.state != "OPEN":
        return min(granted, available), f"ACCOUNT_{account.state}", ""
    if available < granted:
        return available, "INSUFFICIENT_BALANCE", ""
    return granted, "LIMIT_REACHED", asked.window


def spendable(account: Account, again: int) -> int:
    """What an account may give; one that is frozen or closed no more than what it gives again."""
    return account.available if account.state == "OPEN" else min(account.available, again)


def _charge(bill: Bill, payer: str, window: str, day: date) -> int:
    return bill.charged.get(payer, 0) if _shares(window, bill.day, day) else 0


def _day(at: datetime) -> date:
    return at.astimezone(ZoneInfo("Asia/Shanghai")).date()


def _shares(window: str, one: date, other: date) -> bool:
    parts = {"day": (one, other), "month": ((one.year, one.month), (other.year, other.month))}
    return window == "total" or (one.year == other.year if window == "year" else parts[window][0] == parts[window][1])
