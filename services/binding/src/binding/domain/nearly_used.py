"""A limit that is used to a large part is told to the payer, once in each window (R6, R15)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from binding.domain.limits import NO_USE, CounterKey, Use, counter_keys
from binding.domain.relations import Relation, RelationState

NEARLY_USED_PERCENT = 80
"""From this share of a limit on it is told, unless the region says otherwise."""


@dataclass(frozen=True, slots=True)
class NearlyUsed:
    """What is told of one counter."""

    relation: Relation
    """As it is when this is told, which its sequence counts."""
    key: CounterKey
    used_fen: int
    """Used and held."""
    limit_fen: int


def nearly_used(relation: Relation, key: CounterKey, use: Use, percent: int) -> NearlyUsed | None:
    """What is to be told of a counter that was not told yet; None below the share, and of relations that have ended."""
    limit_fen = relation.limits.of(key.window)
    if limit_fen is None or relation.state is RelationState.ENDED or use.taken_fen * 100 < limit_fen * percent:
        return None
    counted = replace(relation, sequence=relation.sequence + 1)
    return NearlyUsed(counted, key, use.taken_fen, limit_fen)


def nearly_used_on(
    relation: Relation, day: date, uses: Mapping[CounterKey, Use], told: Collection[CounterKey], percent: int
) -> list[NearlyUsed]:
    """What is to be told of the windows that a day falls into, as after a limit was lowered."""
    notices: list[NearlyUsed] = []
    for key in counter_keys(relation.relation_id, day):
        notice = None if key in told else nearly_used(relation, key, uses.get(key, NO_USE), percent)
        if notice is not None:
            relation = notice.relation
            notices.append(notice)
    return notices


def newest(notices: Iterable[NearlyUsed]) -> list[Relation]:
    """Each relation of these once, as it is after the last of them."""
    return list({notice.relation.relation_id: notice.relation for notice in notices}.values())
