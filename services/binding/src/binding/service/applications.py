"""Applications: drafts and their changes, consent, handing in, taking back, ending by time."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from binding import events
from binding.domain import applications as rules
from binding.domain.applications import Application, Asked, Consent, drafted
from binding.domain.eligibility import (
    Circumstances,
    Policy,
    is_minor,
    refuse_ineligible,
    refuse_self,
    refuse_wider_kin,
)
from binding.domain.errors import Forbidden, NotFound
from binding.domain.history import SYSTEM, ChangeKind, Entry, Mark
from binding.domain.pledges import Pledge, Pledges
from binding.domain.reviews import queue_place
from binding.domain.working_days import Promise
from binding.repository import Place, Repository
from binding.service.caller import Caller, SignedConsent
from binding.service.history import add_application, history_for, save_application
from kit.clock import Clock, shanghai_date
from kit.db import Work
from kit.errors import FieldViolation, InvalidFields
from kit.ids import uuid7

NOT_PAYER = "only the payer, who is a minor's parent, may do this"


class Applications:
    """What payers and beneficiaries do with an application."""

    def __init__(
        self, work: Work[Repository], clock: Clock, policy: Policy, pledges: Pledges, promise: Promise
    ) -> None:
        self._work = work
        self._clock = clock
        self._policy = policy
        self._pledges = pledges
        self._promise = promise

    def pledge(self, version: str) -> Pledge:
        """A version of the pledge, or the one in force. Raises NotFound."""
        return self._pledges.get(version)

    async def create(self, caller: Caller, payer_psn_no: str, beneficiary_psn_no: str, asked: Asked) -> Application:
        """Store a draft.

        Raises:
            Forbidden: the caller is not the payer.
            InvalidFields: the dates exclude each other.
            PledgeNotCurrent: another pledge is in force.
            RelationshipNotAllowed: no such relationship can be.
        """
        now = self._clock.now()
        caller.require_self(payer_psn_no, NOT_PAYER)
        refuse_self(payer_psn_no, beneficiary_psn_no)
        asked = self._acceptable(asked, now)
        parties = {"payer_psn_no": payer_psn_no, "beneficiary_psn_no": beneficiary_psn_no}
        draft = drafted(uuid7(), caller.subject, asked, now, **parties)
        async with self._work() as repository:
            await add_application(repository, draft, Mark(ChangeKind.CREATED, caller.who, now))
        return draft

    async def update(self, caller: Caller, application_id: UUID, asked: Asked) -> Application:
        """Ask for something else; with the same again, nothing changes.

        Raises:
            StateForbids: it is neither a draft nor returned.
            and what `create` raises.
        """
        now = self._clock.now()
        async with self._work() as repository:
            application = await locked_as_payer(repository, caller, application_id)
            rules.refuse_lapsed(application, now, self._policy.draft_life)
            updated = rules.update(application, self._acceptable(asked, now))
            if updated != application:
                mark = Mark(ChangeKind.UPDATED, caller.who, now)
                await save_application(repository, application, updated, mark)
            return updated

    def _acceptable(self, asked: Asked, now: datetime) -> Asked:
        refuse_wider_kin(asked.relationship, self._policy)
        if asked.valid_to < (asked.valid_from or shanghai_date(now)):
            raise InvalidFields([FieldViolation("valid_to", "lies before the first day of validity")])
        return replace(asked, pledge_sha256=self._pledges.signed(asked.pledge_version).sha256)

    async def consent(self, caller: Caller, application_id: UUID, signed: SignedConsent) -> datetime:
        """Record the adult beneficiary's consent (R4), with the assertion that signs it; when it was given first."""
        now = self._clock.now()
        async with self._work() as repository:
            application = await locked(repository, application_id)
            caller.require_self(application.beneficiary_psn_no, "only the beneficiary consents")
            rules.refuse_lapsed(application, now, self._policy.draft_life)
            persons = await repository.persons([application.beneficiary_psn_no])
            if is_minor(persons.get(application.beneficiary_psn_no), shanghai_date(now), self._policy):
                raise Forbidden("a minor does not consent; a parent applies (R4)")
            consented = rules.consent(application, signed.signed, now)
            if consented is not application:
                consented = events.counted(consented)
                mark = Mark(ChangeKind.CONSENTED, caller.who, now)
                await save_application(repository, application, consented, mark)
                await repository.add_consent(_consent_of(consented, signed, now))
                await repository.outbox.add([events.application_consented(consented, now)])
        return consented.consented_at or now

    async def submit(self, caller: Caller, application_id: UUID) -> Application:
        """Hand in, if the rules allow it today; again, it is what it has become since."""
        now = self._clock.now()
        async with self._work() as repository:
            application = await locked_as_payer(repository, caller, application_id)
            rules.refuse_lapsed(application, now, self._policy.draft_life)
            submitted = rules.submit(application, now)
            if submitted is application:
                return application
            self._pledges.signed(application.pledge_version)
            facts = await circumstances(repository, application, now)
            refuse_ineligible(application, facts, self._policy)
            submitted = queue_place(submitted, facts.payer, facts.day, self._promise.due_on(facts.day))
            submitted = events.counted(submitted)
            mark = Mark(ChangeKind.SUBMITTED, caller.who, now)
            await save_application(repository, application, submitted, mark)
            await repository.outbox.add([events.application_submitted(submitted, now)])
            return submitted

    async def withdraw(self, caller: Caller, application_id: UUID, reason: str) -> Application:
        """Take back what is not decided yet; again, nothing changes."""
        now = self._clock.now()
        async with self._work() as repository:
            application = await locked_as_payer(repository, caller, application_id)
            rules.refuse_lapsed(application, now, self._policy.draft_life)
            withdrawn = rules.withdraw(application)
            if withdrawn is not application:
                withdrawn = events.counted(withdrawn)
                mark = Mark(ChangeKind.WITHDRAWN, caller.who, now, reason)
                await save_application(repository, application, withdrawn, mark)
                await repository.outbox.add([events.application_withdrawn(withdrawn, now)])
            return withdrawn

    async def expire_drafts(self, now: datetime, limit: int) -> int:
        """End drafts and returned applications whose time is over; how many, at most `limit`: call again until 0.

        Several replicas may do so at once: each takes what no other has in hand, and what has ended is taken by none.
        """
        life = self._policy.draft_life
        async with self._work() as repository:
            lapsed = await repository.lock_lapsed_applications(now - life, limit)
            for application in lapsed:
                expired = events.counted(rules.expire(application, now, life))
                await save_application(repository, application, expired, Mark(ChangeKind.EXPIRED, SYSTEM, now))
                await repository.outbox.add([events.application_expired(expired, now)])
            return len(lapsed)

    async def get(self, caller: Caller, application_id: UUID) -> Application:
        """One application, for its parties and staff."""
        async with self._work() as repository:
            application = await found(repository, application_id)
        caller.require_sight(application)
        return application

    async def list(self, caller: Caller, psn_no: str, after: Place | None, limit: int) -> Sequence[Application]:
        """A person's applications as payer or beneficiary, newest first; for the person and staff."""
        if not caller.is_staff:
            caller.require_self(psn_no, "only the person and clerks may see these")
        async with self._work() as repository:
            return await repository.applications_of_person(psn_no, after, limit)

    async def history(self, caller: Caller, application_id: UUID, after: int, limit: int) -> Sequence[Entry]:
        """A page of its history, for its parties and staff."""
        async with self._work() as repository:
            application = await found(repository, application_id)
            return await history_for(repository, caller, application, after, limit)


async def locked(repository: Repository, application_id: UUID) -> Application:
    """The application, locked. Raises NotFound."""
    return await found(repository, application_id, lock=True)


async def locked_as_payer(repository: Repository, caller: Caller, application_id: UUID) -> Application:
    """The application, locked. Raises NotFound; Forbidden unless the caller is its payer."""
    application = await locked(repository, application_id)
    caller.require_self(application.payer_psn_no, NOT_PAYER)
    return application


async def found(repository: Repository, application_id: UUID, *, lock: bool = False) -> Application:
    """The application. Raises NotFound."""
    application = await repository.application(application_id, lock=lock)
    if application is None:
        raise NotFound("there is no such application")
    return application


async def circumstances(repository: Repository, application: Application, now: datetime) -> Circumstances:
    """What an application is judged by today.

    Both persons are locked: until it is decided nobody concerned can be recorded dead, and no other application of
    theirs can take the last place of what a payer or a beneficiary may have.
    """
    await repository.lock_persons(application.parties)
    persons = await repository.persons(application.parties)
    on_record = await repository.relations_on_record(application.parties)
    return Circumstances(
        payer=persons.get(application.payer_psn_no),
        beneficiary=persons.get(application.beneficiary_psn_no),
        relations=tuple(it for it in on_record if it.beneficiary_psn_no == application.beneficiary_psn_no),
        pending_application_id=await repository.pending_application(
            application.payer_psn_no, application.beneficiary_psn_no
        ),
        day=shanghai_date(now),
        on_record=tuple(on_record),
    )


def _consent_of(application: Application, signed: SignedConsent, at: datetime) -> Consent:
    return Consent(
        application_id=application.application_id,
        psn_no=application.beneficiary_psn_no,
        pledge_sha256=application.pledge_sha256,
        given_at=at,
        issuer=signed.issuer,
        jti=signed.jti,
        assertion=signed.assertion,
    )
