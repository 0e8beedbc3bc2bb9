"""The one way to change a relation: store it, with the row of its history, and tell of it."""

from collections.abc import Callable
from datetime import datetime

from binding import events
from binding.domain.history import Mark
from binding.domain.relations import Relation
from binding.repository import Repository
from binding.service.history import count_event, save_relation
from kit.events import Event

Tell = Callable[[Relation, datetime], Event]


async def tell_change(repository: Repository, before: Relation, after: Relation, mark: Mark, tell: Tell) -> Relation:
    """The relation as it is now; where nothing changed, nothing is stored and nobody is told."""
    if after == before:
        return before
    after = events.counted(after)
    await save_relation(repository, before, after, mark)
    await repository.outbox.add([tell(after, mark.at)])
    return after


async def tell_notice(repository: Repository, relation: Relation, at: datetime, tell: Tell) -> None:
    """Tell of something that is near; the relation stays as it is, only that it counts one more event."""
    counted = await count_event(repository, relation)
    await repository.outbox.add([tell(counted, at)])
