"""An independent model of holds, pairs and limits, and a settlement that plays against a binding.

The model knows no transitions: of each authorization it keeps the set of what was told, from which its charge follows.
A pair counts a + b - min(a, b). It shares no code with binding but the words in which both are asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from binding.domain.authorizations import Outcome, OutcomeState
from binding.domain.batch import Answer, Request
from binding.domain.limits import Limits
from binding.domain.relations import Relation
from binding.testing import FATHER, MOTHER, named, outcome, relation, request

RELATIONS = ("r1", "r2")
WINDOWS = ("DAY", "MONTH", "YEAR", "TOTAL")
BORDER = datetime(2025, 12, 31, 16, 0, tzinfo=UTC)
"""Midnight in Shanghai between two years."""
MOMENTS = [BORDER + timedelta(minutes=minutes) for minutes in (-43_000, -1_500, -1, 0, 1, 1_500)]

Label = tuple[str, str, str]
"""Relation, window, and the day, month or year that it covers."""
Told = list[Outcome]
"""What one message says."""


def relations(limits: Limits, **changes: object) -> list[Relation]:
    """Two payers of one child."""
    made = []
    for number, (name, payer) in enumerate(zip(RELATIONS, (FATHER, MOTHER), strict=True)):
        valid = {"valid_from": date(2020, 1, 1), "valid_to": date(2099, 1, 1)}
        made.append(relation(name, payer_psn_no=payer, priority=number + 1, limits=limits, **valid, **changes))
    return made


def labels(relation_name: str, at: datetime) -> list[Label]:
    """The counters that a bill of this time moves."""
    day = at.astimezone(ZoneInfo("Asia/Shanghai")).strftime("%Y-%m-%d")
    return [(relation_name, window, part) for window, part in zip(WINDOWS, (day, day[:7], day[:4], ""), strict=True)]


@dataclass
class Bill:
    """One authorization, as settlement and the model know it."""

    name: str
    at: datetime
    need_fen: int
    replaces: "Bill | None" = None
    granted: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    """What a trimmed preview keeps."""
    paid: dict[str, int] = field(default_factory=dict)
    decided: str = ""
    """What settlement has made of it: nothing yet, CAPTURED or RELEASED."""
    reversed: bool = False
    told: set[str] = field(default_factory=set)
    """What binding has heard of it so far, in whatever order."""

    def charge(self, relation_name: str) -> tuple[int, int]:
        """(used, taken) under a relation, as far as binding can know."""
        if self.told & {"RELEASED", "RESTORED"}:
            return (0, 0)
        if "CAPTURED" in self.told:
            return (self.paid.get(relation_name, 0),) * 2
        held = self.kept if "TRIMMED" in self.told else self.granted
        return (0, held.get(relation_name, 0))

    def lines(self, amounts: Mapping[str, int]) -> list[tuple[str, int]]:
        return sorted(amounts.items())


class Model:
    """Every bill, and what their sums are."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.bills: list[Bill] = []

    def hear(self, bill: Bill, told: str) -> None:
        """Binding hears something; of a settlement that replaces another, that the other one is undone as well."""
        bill.told.add(told)
        if told in {"CAPTURED", "RESTORED"} and bill.replaces:
            self.hear(bill.replaces, "RESTORED")

    def claimed(self, bill: Bill) -> bool:
        return any(other.replaces is bill and "RELEASED" not in other.told for other in self.bills)

    def replaceable(self, bill: Bill) -> bool:
        return bill.told & {"CAPTURED", "RESTORED", "RELEASED"} == {"CAPTURED"} and not self.claimed(bill)

    def totals(self) -> dict[Label, tuple[int, int]]:
        """Label → (used, held) where anything is."""
        sums: dict[Label, list[int]] = {}
        for name in RELATIONS:
            for bill in self.bills:
                for label in labels(name, bill.at):
                    row = sums.setdefault(label, [0, 0])
                    mine = bill.charge(name)
                    shared = bill.replaces if bill.replaces and label in labels(name, bill.replaces.at) else None
                    other = shared.charge(name) if shared else (0, 0)
                    for place in (0, 1):
                        row[place] += mine[place] - min(mine[place], other[place])
        return {label: (used, taken - used) for label, (used, taken) in sums.items() if taken}

    def grant(self, bill: Bill, relation_name: str) -> int:
        """What the rule book says about a bill that is not among the bills yet."""
        totals = self.totals()
        room = [bill.need_fen] + ([] if self.limits.settlement_fen is None else [self.limits.settlement_fen])
        stated = (self.limits.day_fen, self.limits.month_fen, self.limits.year_fen, self.limits.total_fen)
        freed = labels(relation_name, bill.replaces.at) if bill.replaces else []
        for label, limit_fen in zip(labels(relation_name, bill.at), stated, strict=True):
            if limit_fen is not None:
                own = bill.replaces.charge(relation_name)[1] if bill.replaces and label in freed else 0
                room.append(limit_fen - sum(totals.get(label, (0, 0))) + own)
        return max(0, min(room))


class Settlement:
    """Decides bills as settlement does, and keeps every message for whoever delivers it late, twice or not yet."""

    def __init__(self, model: Model, chance: Random) -> None:
        self.model = model
        self.chance = chance
        self.messages: list[Told] = []

    def new(self, name: str, replaces: Bill | None = None) -> Bill:
        return Bill(name, self.chance.choice(MOMENTS), self.chance.randint(1, 2_000), replaces)

    def request(self, bill: Bill) -> Request:
        """What it asks; what binding must know of the replaced one comes along, and some of the rest."""
        along = [it for told in self.messages if self.chance.random() < 0.3 for it in told]
        if bill.replaces and bill.replaces.decided == "CAPTURED":
            along.insert(0, self._captured(bill.replaces))
        replaces = named(bill.replaces.name) if bill.replaces else None
        return replace(request(bill.name, bill.need_fen, *along[:20], occurred_at=bill.at), replaces=replaces)

    def answered(self, bill: Bill, answer: Answer) -> None:
        bill.granted = {name: it.granted_fen for name, it in zip(RELATIONS, answer.grants, strict=True)}

    def trim(self, bill: Bill) -> None:
        bill.kept = bill.kept or {name: self.chance.randint(0, fen) for name, fen in bill.granted.items()}
        self.messages.append([self._outcome(bill, OutcomeState.TRIMMED, bill.kept)])

    def capture(self, bill: Bill) -> None:
        bill.decided = "CAPTURED"
        bill.paid = {name: self.chance.randint(0, fen) for name, fen in (bill.kept or bill.granted).items()}
        if bill.replaces is None:
            self.messages.append([self._captured(bill)])
            return
        bill.replaces.reversed = True
        pair = [self._restored(bill.replaces), self._captured(bill)]
        self.messages += [pair, pair[::-1], pair[1:]]  # by event with both sides, along with a request one by one

    def release(self, bill: Bill) -> None:
        bill.decided = "RELEASED"
        self.messages.append([self._outcome(bill, OutcomeState.RELEASED, {})])

    def reverse(self, bill: Bill) -> None:
        bill.reversed = True
        self.messages.append([self._restored(bill)])

    def _captured(self, bill: Bill) -> Outcome:
        return self._outcome(bill, OutcomeState.CAPTURED, bill.paid)

    def _restored(self, bill: Bill) -> Outcome:
        return self._outcome(bill, OutcomeState.RESTORED, bill.paid)

    def _outcome(self, bill: Bill, state: OutcomeState, amounts: Mapping[str, int]) -> Outcome:
        made = outcome(bill.name, state, *bill.lines(amounts), occurred_at=bill.at)
        says_so = bill.replaces and self.chance.random() < 0.5
        return replace(made, replaces=named(bill.replaces.name)) if bill.replaces and says_so else made
