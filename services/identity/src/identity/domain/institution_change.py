"""Changes of an institution by two operators: one proposes, another confirms (四眼原则)."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from identity.domain import institution as institutions
from identity.domain.institution import Institution, KnownInstitution, version_of
from identity.domain.refusals import ChangeDecided, ChangeOutdated, FourEyes, NothingToChange


class ChangeState(StrEnum):
    """Where a proposal stands; it leaves PROPOSED once."""

    PROPOSED = "PROPOSED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class InstitutionChange:
    """A proposal and what became of it."""

    change_id: UUID
    proposed: Institution
    """The whole institution as it shall be."""
    base_version: int
    """Of the institution that it was made on; 0 if there was none."""
    proposed_by: str
    """The operator, such as `clerk:wang`."""
    proposed_at: datetime
    reason: str
    state: ChangeState = ChangeState.PROPOSED
    decided_by: str | None = None
    decided_at: datetime | None = None
    rejection_reason: str = ""


def propose(
    known: KnownInstitution | None, proposed: Institution, change_id: UUID, *, proposer: str, reason: str, now: datetime
) -> InstitutionChange:
    """The proposal, bound to the institution as it is now.

    Raises:
        NothingToChange: the institution is so already.
    """
    if known is not None and known.institution == proposed:
        raise NothingToChange
    return InstitutionChange(change_id, proposed, version_of(known), proposer, now, reason)


def confirm(
    change: InstitutionChange, known: KnownInstitution | None, operator: str, now: datetime
) -> tuple[InstitutionChange, KnownInstitution]:
    """The proposal confirmed, and the institution as it then is.

    Raises:
        ChangeDecided: it was confirmed or rejected before.
        FourEyes: the operator is the one who proposed it.
        ChangeOutdated: the institution is not as it was when the proposal was made.
    """
    _check_undecided(change)
    if operator == change.proposed_by:
        raise FourEyes
    if version_of(known) != change.base_version:
        raise ChangeOutdated
    return _decided(change, ChangeState.CONFIRMED, operator, now), institutions.change(known, change.proposed)


def reject(change: InstitutionChange, operator: str, reason: str, now: datetime) -> InstitutionChange:
    """The proposal rejected; by its own proposer, withdrawn.

    Raises:
        ChangeDecided: it was confirmed or rejected before.
    """
    _check_undecided(change)
    return replace(_decided(change, ChangeState.REJECTED, operator, now), rejection_reason=reason)


def is_outdated(change: InstitutionChange, current_version: int) -> bool:
    """Whether it can only be rejected any more."""
    return change.state is ChangeState.PROPOSED and change.base_version != current_version


def _check_undecided(change: InstitutionChange) -> None:
    if change.state is not ChangeState.PROPOSED:
        raise ChangeDecided(metadata={"state": change.state})


def _decided(change: InstitutionChange, state: ChangeState, operator: str, now: datetime) -> InstitutionChange:
    return replace(change, state=state, decided_by=operator, decided_at=now)
