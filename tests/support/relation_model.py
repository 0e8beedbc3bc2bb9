"""An independent model of relations in time, on top of the one of holds: what the rule book says, counted anew.

It knows no states of binding. Of each relation it keeps what was done to it, from which everything else follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from binding.domain.limits import Limits
from support.holding_model import Bill, Label, labels


def day_of(at: datetime) -> date:
    """The day in Shanghai."""
    return at.astimezone(ZoneInfo("Asia/Shanghai")).date()


@dataclass
class Known:
    """A relation, as families know it."""

    name: str
    payer: str
    limits: Limits
    valid_from: date
    valid_to: date
    priority: int
    suspended: bool = False
    over: str = ""
    """By what it ended, if not by date: UNBOUND, DIED or LOST."""
    over_from: date | None = None
    recorded: bool = False
    """Whether somebody has written down that it ran out."""

    def ran_out(self, day: date) -> bool:
        return self.valid_to < day

    @property
    def state(self) -> str:
        if self.over or self.recorded:
            return "ENDED"
        return "SUSPENDED" if self.suspended else "ACTIVE"

    @property
    def end_cause(self) -> str:
        """As parties are told it; empty while it has not ended."""
        causes = {"UNBOUND": "UNBOUND", "DIED": "PAYER_DIED", "LOST": "PAYER_ENROLMENT_LOST"}
        return causes[self.over] if self.over else "EXPIRED" if self.recorded else ""

    def may_change(self, day: date) -> bool:
        return self.state != "ENDED" and not self.ran_out(day)


@dataclass
class Family:
    """Everything that happened."""

    known: list[Known] = field(default_factory=list)
    """In the order of approval."""
    bills: list[Bill] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    losses: dict[str, date] = field(default_factory=dict)
    """Payers whose enrolment is lost, and from when; it may be to come."""

    def unended(self) -> list[Known]:
        return [it for it in self.known if it.state != "ENDED"]

    def living(self, day: date) -> list[Known]:
        return [it for it in self.unended() if not it.ran_out(day)]

    def paying_order(self) -> list[Known]:
        """The newest relation of each payer, by place and then by approval."""
        newest = {it.payer: it for it in self.known}
        return sorted(newest.values(), key=lambda it: (it.priority, self.known.index(it)))

    def refusal(self, it: Known, day: date) -> str | None:
        """Why a relation pays nothing on a day."""
        if day < it.valid_from:
            return "RELATION_NOT_STARTED"
        if it.payer in self.dead or (it.over and (it.over_from is None or it.over_from <= day)):
            return "RELATION_ENDED"
        if it.ran_out(day):
            return "RELATION_EXPIRED"
        return "RELATION_SUSPENDED" if it.suspended else None

    def charged(self) -> dict[Label, tuple[int, int]]:
        """Label → (used, held), summed over every bill."""
        sums: dict[Label, list[int]] = {}
        for it in self.known:
            for bill in self.bills:
                used, taken = bill.charge(it.name)
                for label in labels(it.name, bill.at) if taken else ():
                    row = sums.setdefault(label, [0, 0])
                    row[0] += used
                    row[1] += taken - used
        return {label: (used, held) for label, (used, held) in sums.items() if used or held}

    def room(self, it: Known, at: datetime, charged: Mapping[Label, tuple[int, int]]) -> int | None:
        """What all limits together leave at a moment; None without any, negative after one was lowered."""
        stated = (it.limits.day_fen, it.limits.month_fen, it.limits.year_fen, it.limits.total_fen)
        room = [] if it.limits.settlement_fen is None else [it.limits.settlement_fen]
        for label, limit_fen in zip(labels(it.name, at), stated, strict=True):
            if limit_fen is not None:
                room.append(limit_fen - sum(charged.get(label, (0, 0))))
        return min(room, default=None)

    def answer(self, need_fen: int, at: datetime) -> list[tuple[str, int, str | None]]:
        """(relation, granted, reason) in paying order."""
        charged, answer = self.charged(), []
        for it in self.paying_order():
            reason, room = self.refusal(it, day_of(at)), self.room(it, at, charged)
            granted_fen = 0 if reason else need_fen if room is None else max(0, min(need_fen, room))
            answer.append((it.name, granted_fen, reason or ("LIMIT_REACHED" if granted_fen < need_fen else None)))
        return answer

    # what happens

    def lost(self, payer: str, today: date) -> None:
        """The enrolment is lost, if its day has come; what ran out before that had ended by then."""
        since = self.losses[payer]
        if since > today:
            return
        for it in self.unended():
            from_day = max(since, it.valid_from)
            if it.payer == payer and not it.ran_out(from_day):
                it.over, it.over_from = "LOST", from_day

    def died(self, payer: str) -> None:
        self.dead.add(payer)
        for it in self.unended():
            if it.payer == payer:
                it.over = "DIED"

    def kept_up(self, today: date) -> None:
        """The scheduler came by."""
        for it in self.unended():
            it.recorded = it.ran_out(today)
        for payer in self.losses:
            self.lost(payer, today)

    def notices(self, it: Known, today: date) -> timedelta | None:
        """How far away its last day is, if both sides are to be told of it today."""
        away = it.valid_to - today
        return away if it.state != "ENDED" and timedelta() <= away <= timedelta(days=30) else None
