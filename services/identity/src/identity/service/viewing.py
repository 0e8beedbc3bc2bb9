"""Looking at a person: who does, by what right, and the line in the access log that every look leaves."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from identity.domain.person import Person
from identity.domain.refusals import IdentityRefusal, NotEntitled, PersonNotFound
from identity.repository import RECOGNISED, Access, Operation, Repository
from identity.service.people import entitled
from kit.clock import shanghai_date


class Means(StrEnum):
    """By what right somebody looks."""

    CITIZEN = "CITIZEN"
    """At oneself, or at a minor whom one registered (R4)."""
    OPERATOR = "OPERATOR"
    REGISTRY = "REGISTRY"
    AUDITOR = "AUDITOR"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who wants to see a person."""

    caller: str
    """As the access log names them."""
    means: Means
    request_id: str
    psn_no: str | None = None
    """Of a citizen; None for all others."""

    def may_see(self, psn_no: str, person: Person | None, today: date) -> bool:
        """Whether they may see this person, or that there is none."""
        return self.means is not Means.CITIZEN or entitled(self.psn_no, psn_no, person, today)


async def look_at(
    repository: Repository, psn_no: str, viewer: Viewer, operation: Operation, now: datetime
) -> Person | IdentityRefusal:
    """The person, or why the viewer is refused; the look is in the access log either way.

    The caller raises the refusal once the transaction is over, so that the line stays.
    """
    person = await repository.person(psn_no)
    seen = _seen(person, psn_no, viewer, shanghai_date(now))
    outcome = seen.reason if isinstance(seen, IdentityRefusal) else RECOGNISED
    # Whom it was about is noted of a refused look too: it is for that person to know who tried.
    about = psn_no if person is not None else None
    await repository.log_access(Access(now, viewer.caller, operation, viewer.means, outcome, viewer.request_id, about))
    return seen


def _seen(person: Person | None, psn_no: str, viewer: Viewer, today: date) -> Person | IdentityRefusal:
    if not viewer.may_see(psn_no, person, today):
        return NotEntitled()
    return PersonNotFound() if person is None else person


def raised(seen: Person | IdentityRefusal) -> Person:
    """The person, or the refusal raised."""
    if isinstance(seen, IdentityRefusal):
        raise seen
    return seen
