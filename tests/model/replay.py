"""The plain model, played in the order in which the services' transactions took effect, against what they answered.

Authorizing and paying are two steps of it, and binding's hearing of an outcome is a third: each happens at its own
place in the order. What leaves no row (a preview, most refusals) is looked at by `model.onlookers`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from model.answers import wrong_answer
from model.families import Families
from model.lives import ENDED_BY_DEATH, Lives
from model.onlookers import SURELY_COMMITTED, Onlookers
from model.play import NEVER, Sent
from model.recorder import Change, Moment
from support.ledger_model import Bill, Relation

PATIENCE: Final = timedelta(seconds=1)
"""Nobody who can answer is given up on so soon."""
HOLDS: Final = timedelta(minutes=10)
OUTCOMES: Final = {
    "TRIMMED": {"HELD", "SETTLED", "REVERSED", "FREED"},
    "CAPTURED": {"SETTLED", "REVERSED"},
    "RESTORED": {"REVERSED"},
    "RELEASED": {"ABANDONED", "REFUSED", "FREED"},
}
"""What binding may be told of a bill, by what has become of it."""
MAKERS: Final = {
    "REVERSED": {"reverse", "refund", "resettle"},
    "FREED": {"cancel"},
    "ABANDONED": {"reverse"},
}
"""Whose answer tells that a bill is in a state; of other states, its own."""


@dataclass
class Case:
    """One request that left a record."""

    bill: Bill
    sent: list[Sent]
    """Whoever sent it, the first first."""
    id: str = ""
    since: datetime = NEVER
    """When its last step was done, while it is under way."""
    is_asked: bool = False
    is_fence: bool = False
    """Whether it was reversed before it came."""
    became: list[tuple[datetime, str]] = field(default_factory=list)
    """Its states, and when each was written."""
    must_hear: list[tuple["Case", list[str]]] = field(default_factory=list)
    """What binding has to know when it answers this one: others, with states in which they may have been seen."""

    def note(self, at: datetime) -> None:
        """What it is now, it is since then, unless it was that before."""
        if not self.became or self.became[-1][1] != self.bill.state:
            self.became.append((at, self.bill.state))


class Replay:
    """One history, from its first transaction to its last.

    Args:
        families: who there is.
        sent: everything that was sent.
        phases: when each began in real time, and the services' time in it.
        places: where in the ledger settlements and refunds are.
    """

    def __init__(
        self,
        families: Families,
        sent: Iterable[Sent],
        phases: Sequence[tuple[datetime, datetime]],
        places: dict[tuple[str, bool], int],
    ) -> None:
        self.ledger = families.ledger()
        self.wrong: list[str] = []
        self.unexplained: list[str] = []
        """Requests that were given up, nothing taken, though nobody had asked for that."""
        self.compared = 0
        self.cases: dict[str, Case] = {}
        """By the key of the request."""
        self._by_id: dict[str, Case] = {}
        self._families = families
        self._phases = phases
        self._places = places
        self._sent = list(sent)
        self._by_number = {each.wish.number: each for each in self._sent}
        self._by_key: dict[str, list[Sent]] = {}
        for each in self._sent:
            self._by_key.setdefault(each.key, []).append(each)
        self._about_key: dict[str, list[Sent]] = {}
        """By a request's key, itself and whatever is about it."""
        for each in self._sent:
            of = each.wish.of
            for key in {each.key, self._by_number[of.number].key if of else ""} - {""}:
                self._about_key.setdefault(key, []).append(each)
        self._relation_wishes = {
            number: [each for each in self._sent if each.wish.relation == number]
            for number in range(len(families.relations))
        }
        self._relation_numbers = {str(each): number for number, each in enumerate(families.relation_ids)}
        self._fences: set[str] = set()
        """Ids of settlements that a reversal of this transaction is about."""
        self._onlookers = Onlookers(self.ledger, self._sent, self.about)
        self._lives = Lives(self.ledger, self._by_key, self._expect)

    # the order

    def play(self, moments: Sequence[Moment]) -> None:
        """Play everything, then compare what was answered."""
        for moment in moments:
            self._onlookers.look(until=moment.at)
            (self._at_settlement if moment.service == "settlement" else self._at_binding)(moment)
        self._onlookers.look(until=NEVER)
        self._compare()
        self._lives.compare(self._sent)

    def _at_settlement(self, moment: Moment) -> None:
        self._fences = {each.row["settlement_id"] for each in moment.changes if each.what == "reversal"}
        done = [each for each in moment.changes if each.what != "reversal" and self._is_ours(each)]
        for change in sorted(done, key=self._place):
            self._apply(change, moment)
            for key in (change.row.get("id"), change.row.get("replaces")):
                if case := self._by_id.get(str(key)):
                    case.note(moment.at)

    def _is_ours(self, change: Change) -> bool:
        """Whether it is of these families; others may share the stack, whose previews run out when the clock moves."""
        if change.what not in {"settlement", "quote"}:
            return True
        people = (*self._families.employees, *self._families.residents)
        return change.row["fixmedins_code"] in self._families.hospitals or change.row["psn_no"] in people

    def _place(self, change: Change) -> tuple[int, int, str]:
        """Within a transaction: what runs out, then requests, then what is decided in the order of its entries.

        A batch is decided in the order of arrival, in which its ids were made.
        """
        row = change.row
        if change.what == "quote" and change.before:
            return 0, 0, row["id"]
        if change.what not in {"settlement", "quote"}:
            return 2, 0, ""
        if row["state"] == "PENDING" and change.after:
            return 1, 0, row["id"]
        if row["state"] == "REVERSED":
            return 2, self._places.get((row["id"], True), 0), row["id"]
        if not change.before and change.what == "settlement":
            return 2, self._places.get((row["id"], False), 0), row["id"]
        return 3, 0, row["id"]

    def _apply(self, change: Change, moment: Moment) -> None:
        before, after = change.before.get("state"), change.after.get("state")
        if change.what == "settlement":
            if not change.before:
                self._begin(change.after, moment) if after == "PENDING" else self._record(change.after, moment)
            elif before == "PENDING" and after in {"SETTLED", "REFUSED"}:
                self._decide(change.after)
            elif before == "PENDING" and after == "ABANDONED":
                self._abandon(change.after, moment)
            elif (before, after) == ("SETTLED", "REVERSED") and not change.after["replaced_by"]:
                self._give_back(change.after)
        elif change.what == "quote":
            self._quote(change, moment)
        else:
            self._lives.at_settlement(change)

    # settlement's steps

    def _begin(self, row: dict[str, Any], moment: Moment) -> None:
        sent = self._by_key.get(row["msgid"])
        if sent is None:
            self.wrong.append(f"a request that nobody sent: {row['msgid']}")
            return
        case = Case(self._bill(sent[0], moment), sent, row["id"], moment.at)
        case.note(moment.at)
        others = [each for each in self._by_id.values() if each.bill.patient == case.bill.patient and each.is_asked]
        case.must_hear = [(each, states) for each in others if "NEW" not in (states := self._seen(each, sent))]
        self.cases[row["msgid"]] = self._by_id[row["id"]] = case

    def _seen(self, case: Case, by: Sequence[Sent]) -> list[str]:
        """States in which requests that were sent may have found a case: none before one that was surely there."""
        sent_at = min(each.sent_at for each in by)
        sure = [at for at, (written, state) in enumerate(case.became) if self._is_sure(case, written, state, sent_at)]
        return [state for _, state in case.became[max(sure, default=0) :]]

    def _is_sure(self, case: Case, written: datetime, state: str, at: datetime) -> bool:
        """Whether a state was committed by then: somebody had been told of it, or it was written long before."""
        makers = MAKERS.get(state)
        about = self._about_key.get(case.sent[0].key, ())
        telling = [each for each in about if makers is None or each.wish.kind in makers]
        is_told = any(written <= each.answered_at <= at for each in telling)
        return is_told or written < at - SURELY_COMMITTED

    def _bill(self, sent: Sent, moment: Moment) -> Bill:
        wish, at = sent.wish, self._now(moment)
        if wish.kind in {"premium", "pay again"}:
            return self.ledger.premium(wish.payer, wish.patient, wish.year, at)
        bill = Bill(wish.patient, wish.amount, at, wish.own, wish.aid)
        if wish.kind == "as previewed":
            bill.expected = (sent.request.expected_acct_pay, sent.request.expected_acct_mulaid_pay)  # type: ignore[union-attr]
        if wish.kind == "resettle" and wish.of is not None:
            bill.replaces = self._case_of(wish.of.number).bill
        return bill

    def _now(self, moment: Moment) -> datetime:
        return next(now for began, now in reversed(self._phases) if began <= moment.at)

    def _case_of(self, number: int) -> Case:
        return self.cases[self._by_number[number].key]

    def _decide(self, row: dict[str, Any]) -> None:
        case = self._by_id[row["id"]]
        if case.bill.aid and not case.is_asked:
            self.wrong.append(f"{row['msgid']} was decided before its payers were asked")
            return
        self.ledger.pay(case.bill)
        self._expect(row["msgid"], "state", case.bill.state, row["state"])

    def _abandon(self, row: dict[str, Any], moment: Moment) -> None:
        """It was reversed on its way, or what it replaces was; or somebody did not answer, and was waited for."""
        case = self._by_id[row["id"]]
        replaced = case.bill.replaces
        if row["id"] not in self._fences and not (replaced and replaced.state != "SETTLED"):
            (self.wrong if moment.at - case.since < PATIENCE else self.unexplained).append(
                f"{self._name(case)} was given up {(moment.at - case.since).total_seconds():.2f} s after its last step"
            )
        case.bill.state, case.bill.reason = "ABANDONED", row["reason"]

    def _record(self, row: dict[str, Any], moment: Moment) -> None:
        """What is decided in the transaction in which it comes: a fence, or the settlement of a held preview."""
        sent = self._by_key[row["msgid"]]
        if row["quote_id"] is None:
            bill = Bill(row["psn_no"] or "", 0, self._now(moment), own=False, aid=False, state="ABANDONED")
            self._expect(row["msgid"], "state", "ABANDONED", row["state"])
            self.cases[row["msgid"]] = self._by_id[row["id"]] = Case(bill, sent, row["id"], is_fence=True)
            return
        held = self._by_id[row["quote_id"]]
        if sent[0].wish.amount != held.bill.amount:
            bill = Bill(held.bill.patient, 0, held.bill.at, own=False, aid=False, state="REFUSED")
            bill.reason = "AMOUNT_CHANGED"
            self._expect(row["msgid"], "state", "REFUSED", row["state"])
            self.cases[row["msgid"]] = Case(bill, sent, row["id"])
            return
        self._expect(row["msgid"], "preview settled", "HELD", held.bill.state)
        self.ledger.use(held.bill)
        self._expect(row["msgid"], "state", "SETTLED", row["state"])
        self.cases[row["msgid"]] = Case(held.bill, sent, row["id"], is_asked=held.is_asked)

    def _give_back(self, row: dict[str, Any]) -> None:
        case = self._by_id[row["id"]]
        self._expect(row["msgid"], "state before its reversal", "SETTLED", case.bill.state)
        self.ledger.give_back(case.bill)

    def _quote(self, change: Change, moment: Moment) -> None:
        case = self._by_id[change.row["id"]]
        if not change.before:
            self.ledger.keep(case.bill)
        elif change.after["state"] in {"EXPIRED", "CANCELLED"}:
            if change.after["state"] == "EXPIRED" and self._now(moment) < case.bill.at + HOLDS:
                self.wrong.append(f"{change.row['msgid']} ran out too early")
            self._expect(change.row["msgid"], "state before its end", "HELD", case.bill.state)
            self.ledger.free(case.bill)

    # binding's steps

    def _at_binding(self, moment: Moment) -> None:
        records: dict[str, list[Change]] = {}
        for change in moment.changes:
            if change.what == "authorization_record":
                records.setdefault(change.row["authorization_id"], []).append(change)
            elif change.what != "relation":
                self._lives.at_binding(change, moment.at)
            elif change.before:
                self._relation(change)
        told = {key: _told(changes) for key, changes in records.items() if key in self._by_id}
        for key in sorted(told, key=lambda each: told[each] == "ASKED"):
            if told[key] == "ASKED":
                self._authorize(self._by_id[key], records[key][-1].after, moment)
            elif told[key] != "NOTHING":
                self._hear(self._by_id[key], told[key])

    def _authorize(self, case: Case, row: dict[str, Any], moment: Moment) -> None:
        for other, states in case.must_hear:
            known = [_charge_of(other.bill, state) for state in (*states, other.bill.state)]
            if _nonzero(other.bill.charged) not in known:
                self.wrong.append(f"binding answered {self._name(case)} without having heard of {self._name(other)}")
        payers = [self.ledger.relations[self._relation_numbers[each]].payer for each in row["relation_ids"]]
        doubtful = [each for each in payers if self._lives.is_in_doubt(each, case.since - SURELY_COMMITTED)]
        case.is_asked, case.since = True, moment.at
        with self._believing(dict(zip(payers, row["reasons"], strict=True)), doubtful):
            self.ledger.authorize(case.bill)
        granted = dict(zip(payers, row["granted_fen"], strict=True))
        self._expect(self._name(case), "what limits granted", case.bill.charged, granted)

    @contextmanager
    def _believing(self, reasons: dict[str, str], doubtful: list[str]) -> Iterator[None]:
        """Where either may have been seen, the answer says which it was."""
        before = {each: self.ledger.accounts[each].arrears for each in doubtful}
        for each in doubtful:
            self.ledger.accounts[each].arrears = reasons[each] == "PAYER_ARREARS"
        yield
        for each, arrears in before.items():
            self.ledger.accounts[each].arrears = arrears

    def _hear(self, case: Case, told: str) -> None:
        if case.bill.state not in OUTCOMES[told]:
            self.wrong.append(f"binding was told {told} of {self._name(case)}, which is {case.bill.state}")
        case.bill.charged = dict(case.bill.lines) if told in {"TRIMMED", "CAPTURED"} else {}

    def _relation(self, change: Change) -> None:
        number, row = self._relation_numbers.get(change.row["relation_id"]), change.after
        stated = (row["state"], _limits(row))
        if (
            number is None
            or row["end_cause"] == "EXPIRED"
            or stated == (change.before["state"], _limits(change.before))
        ):
            return  # another family's; or by its date, whether that is recorded or not; or its counters moved
        relation = self.ledger.relations[number]
        if row["end_cause"] in ENDED_BY_DEATH:
            self._lives.end(relation)
        known = (relation.state, relation.limits)
        while known != stated and self._relation_wishes[number]:
            self._wished(relation, self._relation_wishes[number].pop(0))
            known = (relation.state, relation.limits)
        self._expect(f"relation {number}", "state and limits", known, stated)

    def _wished(self, relation: Relation, sent: Sent) -> None:
        wish = sent.wish
        if relation.state == "ENDED" or sent.refusal:
            return
        if wish.kind == "limits":
            relation.limits = dict(wish.limits)
        else:
            relation.state = {"suspend": "SUSPENDED", "resume": "ACTIVE", "unbind": "ENDED"}[wish.kind]

    # what was answered

    def _compare(self) -> None:
        for sent in self._sent:
            if not sent.is_answered:
                continue
            self.compared += 1
            case = self.cases.get(sent.key) if sent.key else None
            if case and case.is_fence and sent.refusal != "ABANDONED":
                case = None  # refused without a trace before somebody fenced it off
            why = wrong_answer(sent, case.bill if case else None, self.about(sent))
            why = self._onlookers.wrong(sent) if why is None else why
            if why:
                self.wrong.append(f"{sent.wish.kind} {sent.key or sent.wish.number}: {why}")

    def is_overdue(self, bill: Bill) -> bool:
        """Whether it is still held although its time was over before the last phase."""
        return bill.state == "HELD" and bill.at + HOLDS <= self._phases[-1][1]

    def about(self, sent: Sent) -> Bill | None:
        """The bill of the earlier wish that a request is about, as far as it has come."""
        if sent.wish.of is None:
            return None
        case = self.cases.get(self._by_number[sent.wish.of.number].key)
        return case.bill if case else None

    def _name(self, case: Case) -> str:
        return f"{case.sent[0].wish.kind} {case.sent[0].key}"

    def _expect(self, what: str, part: str, expected: object, found: object) -> None:
        self.compared += 1
        if expected != found:
            self.wrong.append(f"{what}: {part} is {found!r}, the model has {expected!r}")


def _told(changes: Sequence[Change]) -> str:
    """What binding was asked or told by a transaction's changes of one authorization."""
    before, after = changes[0].before, changes[-1].after
    state = after.get("state")
    if not after or (state == before.get("state") and after["held_fen"] == before["held_fen"]):
        return "NOTHING"  # given back unasked, or claimed by another
    if state == "HELD":
        return "TRIMMED" if before else "ASKED"
    return str(state)


def _charge_of(bill: Bill, state: str) -> dict[str, int]:
    return dict(bill.lines) if state in {"SETTLED", "HELD"} else {}


def _nonzero(charged: dict[str, int]) -> dict[str, int]:
    return {payer: fen for payer, fen in charged.items() if fen}


def _limits(row: dict[str, Any]) -> dict[str, int]:
    windows = ("settlement", "day", "month", "year", "total")
    return {window: row[f"{window}_fen"] for window in windows if row[f"{window}_fen"] is not None}
