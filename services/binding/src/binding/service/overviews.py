"""Overviews: a person's relations with what is used, held and left of each window today."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from binding.domain.limits import CounterKey, Use, counter_keys
from binding.domain.overviews import Overview, overview_of
from binding.domain.sides import Side
from binding.repository import Repository
from binding.service.caller import Caller
from kit.clock import Clock, shanghai_date
from kit.db import Work

MOST_RELATIONS = 100


@dataclass(frozen=True, slots=True)
class Overviews:
    """What there is to see today."""

    day: date
    uses: Mapping[CounterKey, Use]
    relations: Sequence[Overview]
    more: bool
    """Whether there are more relations than an overview shows."""


class Overseeing:
    """What a payer or a beneficiary sees of all their relations."""

    def __init__(self, work: Work[Repository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def overview(self, caller: Caller, psn_no: str, side: Side) -> Overviews:
        """The relations that have not ended with this person on that side, with today's windows.

        For the person and staff. All counters are read in one statement, so they are of one moment.
        """
        if not caller.is_staff:
            caller.require_self(psn_no, "only the person and clerks may see these")
        day = shanghai_date(self._clock.now())
        async with self._work() as repository:
            found = await repository.unended_relations_of(psn_no, side, MOST_RELATIONS + 1)
            shown = found[:MOST_RELATIONS]
            uses = await repository.uses([key for it in shown for key in counter_keys(it.relation_id, day)])
            persons = await repository.persons(
                {psn for it in shown for psn in (it.payer_psn_no, it.beneficiary_psn_no)}
            )
        return Overviews(day, uses, [overview_of(it, day, uses, persons) for it in shown], len(found) > len(shown))
