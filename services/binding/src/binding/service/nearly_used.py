"""Telling that a window of a limit is nearly used, in the unit of work that made it so."""

from collections.abc import Sequence
from datetime import datetime

from binding import events
from binding.domain.limits import counter_keys
from binding.domain.nearly_used import NearlyUsed, nearly_used_on
from binding.domain.relations import Relation
from binding.repository import Repository
from kit.clock import shanghai_date


async def tell(repository: Repository, notices: Sequence[NearlyUsed], now: datetime) -> None:
    """Tell these, and remember that they are told; the relations are locked, so that each is told once."""
    if notices:
        await repository.note_nearly_used(notices)
        await repository.outbox.add([events.limit_nearly_used(notice, now) for notice in notices])


async def tell_of_limits(repository: Repository, relation: Relation, now: datetime, percent: int) -> Relation:
    """After its limits were changed: tell of the windows of today that are nearly used now. The relation as counted."""
    day = shanghai_date(now)
    keys = counter_keys(relation.relation_id, day)
    uses, told = await repository.uses(keys), await repository.nearly_used_told(keys)
    notices = nearly_used_on(relation, day, uses, told, percent)
    await tell(repository, notices, now)
    return notices[-1].relation if notices else relation
