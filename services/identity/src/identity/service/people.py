"""What every use case about a person needs: the moment, the person locked, and whether the caller may."""

from datetime import date, datetime

from identity.domain import person as persons
from identity.domain.person import Person
from identity.domain.refusals import PersonNotFound
from identity.repository import Repository
from kit.clock import Clock, shanghai_date


def moment(clock: Clock) -> tuple[datetime, date]:
    """Now, and its Asia/Shanghai date."""
    now = clock.now()
    return now, shanghai_date(now)


async def locked_person(repository: Repository, psn_no: str) -> Person:
    """The person, locked.

    Raises:
        PersonNotFound: there is no such person.
    """
    person = (await repository.lock_persons([psn_no])).get(psn_no)
    if person is None:
        raise PersonNotFound
    return person


def entitled(caller_psn_no: str | None, psn_no: str, person: Person | None, today: date) -> bool:
    """Whether the caller may act for this person (R4).

    Asked before it is told whether there is such a person: strangers learn nothing from the answer.
    """
    if person is None:
        return caller_psn_no == psn_no
    return persons.may_act_for(caller_psn_no, person, today)
