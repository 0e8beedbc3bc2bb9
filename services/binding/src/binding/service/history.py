"""The one way to store a change of an application or a relation: with the row of its history."""

from collections.abc import Sequence
from uuid import UUID

from binding import events
from binding.domain.applications import Application
from binding.domain.history import AggregateKind, Entry, Mark, change_of
from binding.domain.relations import Relation
from binding.repository import Repository
from binding.service.caller import Caller


async def add_application(repository: Repository, draft: Application, mark: Mark) -> None:
    """Store a new draft."""
    await repository.add_application(draft)
    await repository.add_history([change_of(None, draft, mark)])


async def save_application(repository: Repository, before: Application, after: Application, mark: Mark) -> None:
    """Store a changed application. Raises RelationExists when another of the pair waits."""
    await repository.save_application(after)
    await repository.add_history([change_of(before, after, mark)])


async def add_relation(repository: Repository, relation: Relation, mark: Mark) -> None:
    """Store a new relation. Raises RelationExists when the pair has one that has not ended."""
    await repository.add_relation(relation)
    await repository.add_history([change_of(None, relation, mark)])


async def save_relation(repository: Repository, before: Relation, after: Relation, mark: Mark) -> None:
    """Store a changed relation."""
    await repository.save_relation(after)
    await repository.add_history([change_of(before, after, mark)])


async def count_event(repository: Repository, relation: Relation) -> Relation:
    """The relation with one more event told about it; nothing of it changes, so its history has no row for that."""
    counted = events.counted(relation)
    await repository.save_relation(counted)
    return counted


async def history_for(
    repository: Repository, caller: Caller, subject: Application | Relation, after: int, limit: int
) -> Sequence[Entry]:
    """A page of the history of what the caller may see, oldest first; parties are not told clerks' names.

    Raises:
        Forbidden: the caller is neither a party nor staff.
    """
    caller.require_sight(subject)
    entries = await repository.history(*_key_of(subject), after, limit)
    return entries if caller.is_staff else [entry.for_parties() for entry in entries]


def _key_of(subject: Application | Relation) -> tuple[AggregateKind, UUID]:
    if isinstance(subject, Application):
        return AggregateKind.APPLICATION, subject.application_id
    return AggregateKind.RELATION, subject.relation_id
