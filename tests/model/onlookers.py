"""Answers that leave no record: previews, and refusals without a trace.

Nothing says at which moment they looked, so everything is collected that they may have seen: what was there after the
last transaction that had surely been committed when they were sent, and after each one since that began to be written
before they were answered. A preview looks at each relation and at each account for itself, so each part of its split
has to follow from something that it may have seen of that relation and account.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from model.answers import reason_name, window_name
from model.history import Wish
from model.play import Sent
from support.ledger_model import Account, Asked, Bill, Ledger, share, spendable

from gongji.settlement.v1 import settlement_pb2

SURELY_COMMITTED: Final = timedelta(seconds=2)
"""After its last row."""
HOLDS: Final = timedelta(minutes=10)
GONE: Final = {"QUOTE_USED": {"SETTLED", "REVERSED", "FREED"}, "QUOTE_EXPIRED": {"HELD", "FREED"}}

KEEPING: Final = frozenset({"close", "freeze", "unfreeze", "contribute"})
"""What is done to accounts, and refused by how they stand."""

Standing = tuple[int, int, str]
"""An account's balance, what is held of it, its state."""


@dataclass
class Seen:
    """What one request may have seen."""

    asked: dict[str, set[Asked]] = field(default_factory=dict)
    accounts: dict[str, set[Standing]] = field(default_factory=dict)
    refusals: set[str] = field(default_factory=set)
    """Of a premium, or of what is to be done to an account; empty ones, too."""
    states: set[str] = field(default_factory=set)
    """Of the bill that it is about; NONE while there is none."""


class Onlookers:
    """Everybody whose answer may leave no record.

    Args:
        ledger: the model, which is looked at while it is played.
        sent: everything that was sent.
        about: the bill that a request is about, as far as it has come.
    """

    def __init__(self, ledger: Ledger, sent: Iterable[Sent], about: Callable[[Sent], Bill | None]) -> None:
        self._ledger = ledger
        self._about = about
        looking = {"preview", "premium", "pay again", "use", "resettle", *KEEPING}
        self._waiting = sorted((it for it in sent if it.wish.kind in looking and it.is_answered), key=_sent_at)
        self._looking: list[Sent] = []
        self._seen: dict[int, Seen] = {}
        self._last = datetime.min.replace(tzinfo=UTC)

    def look(self, until: datetime) -> None:
        """What there is now stays so until something is written at `until`."""
        while self._waiting and self._waiting[0].sent_at <= until + SURELY_COMMITTED:
            sent = self._waiting.pop(0)
            self._looking.append(sent)
            self._seen[sent.wish.number] = Seen()
        self._looking = [each for each in self._looking if self._last < each.answered_at]
        for sent in self._looking:
            self._note(sent, self._seen[sent.wish.number])
        self._last = until

    def _note(self, sent: Sent, seen: Seen) -> None:
        wish = sent.wish
        if wish.kind == "preview":
            bill = _bill(sent)
            for relation in self._ledger.relations:
                if relation.patient == wish.patient:
                    seen.asked.setdefault(relation.payer, set()).add(self._ledger.ask(relation, bill))
            for psn_no in (wish.patient, *seen.asked):
                if account := self._ledger.accounts.get(psn_no):
                    seen.accounts.setdefault(psn_no, set()).add((account.balance, account.held, account.state))
        elif wish.kind in {"premium", "pay again"}:
            seen.refusals.add(self._ledger.premium_refusal(wish.payer, wish.patient, wish.year, sent.at))
        elif wish.kind in KEEPING:
            seen.refusals.add(_refused(self._ledger.accounts[wish.payer], wish))
        else:
            bill = self._about(sent) or Bill("", 0, sent.at, own=False, aid=False, state="NONE")
            seen.states.add(bill.state)

    def wrong(self, sent: Sent) -> str:
        """What is wrong with an answer of which no record is left; empty if nothing is."""
        seen, wish = self._seen.get(sent.wish.number, Seen()), sent.wish
        if wish.kind == "preview":
            return self._wrong_preview(sent, seen)
        if wish.kind in {"premium", "pay again", *KEEPING}:
            return "" if sent.refusal in seen.refusals else f"refused for {sent.refusal}, the model for {seen.refusals}"
        if wish.kind == "use":
            return "" if GONE.get(sent.refusal, set()) & seen.states else f"{sent.refusal}, the quote was {seen.states}"
        if wish.kind == "resettle":
            is_hold = wish.of is not None and wish.of.kind == "hold"
            nothing = is_hold or seen.states & {"NONE", "NEW", "ABANDONED", "REFUSED"}
            is_right = nothing if sent.refusal == "NOT_FOUND" else "REVERSED" in seen.states
            is_right = is_right and sent.refusal in {"NOT_FOUND", "ALREADY_REVERSED"}
            return "" if is_right else f"refused for {sent.refusal}, it was {seen.states}"
        is_late = wish.kind == "again" and wish.of is not None and sent.refusal == "CREDENTIAL_EXPIRED"
        return "" if is_late else f"left no record: {sent.refusal or sent.answer}"

    def _wrong_preview(self, sent: Sent, seen: Seen) -> str:
        if not isinstance(sent.answer, settlement_pb2.PreSettleResponse):
            return f"refused for {sent.refusal}"
        split, bill, left = sent.answer.split, _bill(sent), sent.wish.amount
        if own := seen.accounts.get(sent.wish.patient):
            if not any(_own(bill, left, each) == (split.acct_pay, split.balc) for each in own):
                return f"own account pays {split.acct_pay}, it was {own}"
            left -= split.acct_pay
        lines = {line.payer_psn_no: (line.amount, line.balance_after) for line in split.lines}
        declines = {each.payer_psn_no: (reason_name(each.reason), window_name(each.window)) for each in split.declines}
        for relation in self._ledger.relations:
            payer = relation.payer
            if relation.patient != bill.patient or not left or not bill.aid:
                continue
            found = (lines.pop(payer, None), declines.pop(payer, None))
            if not _follows(found, seen.asked[payer], seen.accounts[payer], bill, left):
                return f"{payer} gives {found}, asked {seen.asked[payer]}, account {seen.accounts[payer]}"
            left -= found[0][0] if found[0] else 0
        if lines or declines or left != split.psn_cash_pay:
            return f"{lines} {declines} and {split.psn_cash_pay} in cash where {left} are left"
        return ""


def _refused(account: Account, wish: Wish) -> str:
    """Why this may not be done to an account; empty if it may."""
    is_closed, stays_frozen = account.state == "CLOSED", account.state == "FROZEN" and account.dead
    if wish.kind == "contribute":
        return "ACCOUNT_CLOSED" if is_closed else ""
    if wish.kind == "close":
        forbids = account.held or (account.state == "FROZEN" and not account.dead) or (wish.heirs and not account.dead)
        return "STATE_FORBIDS" if forbids and not is_closed else ""
    return "STATE_FORBIDS" if is_closed or (wish.kind == "unfreeze" and stays_frozen) else ""


Share = tuple[tuple[int, int] | None, tuple[str, str] | None]
"""A payer's line (amount, balance after it) and decline (reason, window)."""


def _follows(found: Share, asked: set[Asked], accounts: set[Standing], bill: Bill, left: int) -> bool:
    return any(_share(one, Account(*other), bill, left) == found for one in asked for other in accounts)


def _share(asked: Asked, account: Account, bill: Bill, left: int) -> Share:
    given, why, window = share(asked, account, bill, left)
    return (given, account.balance - given) if given else None, (why, window) if given < left else None


def _own(bill: Bill, left: int, standing: Standing) -> tuple[int, int]:
    account = Account(*standing)
    paid = min(left, spendable(account, 0)) if bill.own else 0
    return paid, account.balance - paid


def _bill(sent: Sent) -> Bill:
    return Bill(sent.wish.patient, sent.wish.amount, sent.at, sent.wish.own, sent.wish.aid)


def _sent_at(sent: Sent) -> datetime:
    return sent.sent_at
