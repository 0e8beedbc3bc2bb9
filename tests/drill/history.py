"""What was acknowledged when, and what of it a restore to a point must have kept. Plain; looks nothing up."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from faults.told import Answer, Request, Sent, Told

from gongji.settlement.v1 import settlement_pb2 as pb2
from kit.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a service acknowledged."""

    key: str
    sent_at: datetime
    acknowledged_at: datetime


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of acts by a restore to a point."""

    kept: int
    by_design: list[str]
    """Acknowledged after the point, hence lost: what the drill is about to say."""
    lost: list[str]
    """Acknowledged before the point and not there: a fault."""
    too_new: list[str]
    """Sent after the point and there: then it is another point."""

    @property
    def wrong(self) -> list[str]:
        """What must not be."""
        return [f"{key} was acknowledged before the point and is lost" for key in self.lost] + [
            f"{key} was sent after the point and is there" for key in self.too_new
        ]


def judge(acts: Sequence[Act], point: datetime, present: Collection[str]) -> Judged:
    """Compare what is there with what was acknowledged; what was under way at the point may be there or not."""
    before = [act for act in acts if act.acknowledged_at <= point]
    return Judged(
        kept=sum(act.key in present for act in before),
        by_design=[act.key for act in acts if act.acknowledged_at > point and act.key not in present],
        lost=[act.key for act in before if act.key not in present],
        too_new=[act.key for act in acts if act.sent_at > point and act.key in present],
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """An acknowledgement or a final refusal."""

    at: datetime
    key: str
    answer: Answer | None
    refusal: str | None


@dataclass(slots=True)
class TimedTold(Told):
    """What hospitals and payers were told, and when."""

    sent_at: dict[str, datetime] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)

    def remember(self, request: Request) -> Sent:
        """See `Told.remember`."""
        sent = Told.remember(self, request)
        self.sent_at[sent.key] = SystemClock().now()
        return sent

    def learn(self, sent: Sent, answer: Answer) -> None:
        """See `Told.learn`."""
        if not sent.is_final:
            self.heard.append(Heard(SystemClock().now(), sent.key, answer, None))
        Told.learn(self, sent, answer)

    def learn_refusal(self, sent: Sent, reason: str) -> None:
        """See `Told.learn_refusal`."""
        if not sent.is_final:
            self.heard.append(Heard(SystemClock().now(), sent.key, None, reason))
        Told.learn_refusal(self, sent, reason)

    def acts(self) -> list[Act]:
        """Settlements and premiums that were acknowledged."""
        at = {heard.key: heard.at for heard in self.heard if heard.answer is not None}
        return [Act(sent.key, self.sent_at[sent.key], at[sent.key]) for sent in self.acknowledged]

    def undone_after(self, point: datetime) -> set[str]:
        """Bills whose reversal, or settling again, was under way at the point: they may stand or be undone."""
        late = {heard.key for heard in self.heard if heard.at > point}
        under_way = [
            sent.request
            for key, sent in self.sent.items()
            if self.sent_at[key] <= point and (key in late or not sent.is_final)
        ]
        return {
            request.original_msgid
            for request in under_way
            if isinstance(request, pb2.ReverseRequest | pb2.ResettleRequest)
        }

    def as_of(self, point: datetime) -> "TimedTold":
        """What was known at the point; what was sent or answered later is of unknown outcome and can be sent again."""
        told = TimedTold()
        for key, sent in self.sent.items():
            again = told.remember(sent.request)
            again.is_of_batch = sent.is_of_batch
            told.sent_at[key] = self.sent_at[key]
        for heard in self.heard:
            if heard.at > point:
                continue
            if heard.answer is not None:
                told.learn(told.sent[heard.key], heard.answer)
            else:
                told.learn_refusal(told.sent[heard.key], str(heard.refusal))
        told.heard = [heard for heard in self.heard if heard.at <= point]
        used = {sent.request.quote_id for sent in told.sent.values() if isinstance(sent.request, pb2.SettleRequest)}
        for sent in told.held:
            sent.is_used = isinstance(sent.answer, pb2.Quote) and sent.answer.quote_id in used
        return told
