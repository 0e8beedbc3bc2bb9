"""Events of identity and settlement, each batch in one transaction with its inbox."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from binding.domain.authorizations import Outcome, OutcomeLine, OutcomeState
from binding.domain.persons import EMPLOYEE, RESIDENT, Enrolment
from binding.repository import Corrected, Repository, Verified
from binding.service.authorizations import Authorizations
from binding.service.persons import Facts, Persons
from gongji.identity.events.v1 import events_pb2 as identity_events
from gongji.identity.v1 import person_pb2
from gongji.settlement.events.v1 import premium_events_pb2 as premium_events
from gongji.settlement.events.v1 import settlement_events_pb2 as settlement_events
from kit.clock import shanghai_date
from kit.db import Work, retrying
from kit.events import Envelope, UnreadableEventError
from kit.ids import uuid_of
from kit.timestamps import moment

GROUP = "binding"
IDENTITY, SETTLEMENT = "identity-events-v1", "settlement-events-v1"
TOPICS = (IDENTITY, SETTLEMENT)

_INSUTYPES = {person_pb2.INSURANCE_TYPE_EMPLOYEE: EMPLOYEE, person_pb2.INSURANCE_TYPE_RESIDENT: RESIDENT}
_STATUSES = {
    person_pb2.INSURANCE_STATUS_NOT_INSURED: 0,
    person_pb2.INSURANCE_STATUS_NORMAL: 1,
    person_pb2.INSURANCE_STATUS_SUSPENDED: 2,
    person_pb2.INSURANCE_STATUS_INVALID: 3,
    person_pb2.INSURANCE_STATUS_ENDED: 4,
}


class Subscriber:
    """Takes batches of events; its `handle` is what the consumer calls."""

    def __init__(self, work: Work[Repository], authorizations: Authorizations, persons: Persons) -> None:
        self._work = work
        self._authorizations = authorizations
        self._persons = persons

    async def handle(self, envelopes: Sequence[Envelope]) -> None:
        """Have the effect of these events, each once.

        Identity's and settlement's in a unit of work each: together their locks would be taken out of order.
        """
        await self._take_in([envelope for envelope in envelopes if envelope.topic == IDENTITY])
        if told := [envelope for envelope in envelopes if envelope.topic == SETTLEMENT]:
            await retrying(partial(self._apply, told))

    async def _take_in(self, envelopes: Sequence[Envelope]) -> None:
        if not envelopes:
            return
        async with self._work() as repository:
            facts = Facts()
            for envelope in await _new(repository, envelopes):
                _note(envelope.message, facts)
            contradicted = await self._persons.take_in(repository, facts)
        self._persons.report(contradicted)

    async def _apply(self, envelopes: Sequence[Envelope]) -> None:
        async with self._work() as repository:
            new = await _new(repository, envelopes)
            outcomes = [outcome for envelope in new for outcome in outcomes_of(envelope.message)]
            book = await self._authorizations.apply(repository, outcomes)
        self._authorizations.report(book)


async def _new(repository: Repository, envelopes: Sequence[Envelope]) -> list[Envelope]:
    by_id = {envelope.id: envelope for envelope in envelopes}
    first_time = await repository.inbox.first_time(GROUP, list(by_id))
    return [envelope for envelope in by_id.values() if envelope.id in first_time]


def _note(message: Message, facts: Facts) -> None:
    match message:
        case identity_events.PersonVerified():
            verified = Verified(message.psn_no, _date(message.brdy), moment(message.verified_at))
            facts.verified.append(verified)
        case identity_events.PersonCorrected():
            facts.corrected.append(_corrected(message))
        case identity_events.EnrolmentChanged():
            facts.enrolments.append((message.psn_no, _enrolment(message)))
        case identity_events.PersonDied():
            facts.deaths.append((message.psn_no, _date(message.died_on)))
        case _:
            pass  # institutions are settlement's concern


def _corrected(message: identity_events.PersonCorrected) -> Corrected:
    if message.sequence < 1:
        raise UnreadableEventError("the correction has a sequence that the contract does not have")
    return Corrected(message.psn_no, _date(message.brdy), message.sequence)


def _enrolment(message: identity_events.EnrolmentChanged) -> Enrolment:
    stated = message.enrolment
    if stated.insutype not in _INSUTYPES or stated.psn_insu_stas not in _STATUSES or message.sequence < 1:
        raise UnreadableEventError("the enrolment has a type, a status or a sequence that the contract does not have")
    return Enrolment(
        insutype=_INSUTYPES[stated.insutype],
        insuplc_admdvs=stated.insuplc_admdvs,
        psn_insu_stas=_STATUSES[stated.psn_insu_stas],
        arrears=stated.arrears,
        valid_from=_date(stated.valid_from),
        valid_to=_date(stated.valid_to) if stated.valid_to else None,
        sequence=message.sequence,
    )


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UnreadableEventError("a date of the event is not one of the calendar") from None


_OUTCOME_STATES: Mapping[type[Message], OutcomeState] = {
    settlement_events.SettlementCompleted: OutcomeState.CAPTURED,
    settlement_events.SettlementReversed: OutcomeState.RESTORED,
    settlement_events.HoldsReleased: OutcomeState.RELEASED,
    settlement_events.HoldsTrimmed: OutcomeState.TRIMMED,
    premium_events.PremiumPaid: OutcomeState.CAPTURED,
    premium_events.PremiumRefunded: OutcomeState.RESTORED,
}


def outcomes_of(message: Message) -> list[Outcome]:
    """The outcomes that an event of settlement states: its own, unless it asked no payer, and the other of a pair.

    A settlement that replaces another and the reversal of that one are told by two events; each carries both sides, so
    that whichever comes first has the whole effect.

    Raises:
        UnreadableEventError: an id is none, or a time is missing.
    """
    state = _OUTCOME_STATES.get(type(message))
    facts: Any = getattr(message, "settlement", None)
    if state is None or facts is None:
        return []
    own = [_own(message, state, facts)] if facts.use_mutual_aid or facts.lines else []
    return own + _other_side(message, facts)


def _own(message: Message, state: OutcomeState, facts: settlement_events.SettlementFacts) -> Outcome:
    lines = [] if state is OutcomeState.RELEASED else facts.lines
    replaces = getattr(message, "replaces", "")
    made = _outcome(facts.setl_id, state, facts.psn_no, facts.occurred_at, lines)
    return replace(made, replaces=_uuid(replaces)) if replaces else made


def _other_side(message: Message, facts: settlement_events.SettlementFacts) -> list[Outcome]:
    match message:
        case settlement_events.SettlementCompleted(replaces=other) if other:
            at, lines = message.replaced_occurred_at, message.replaced_lines
            return [_outcome(other, OutcomeState.RESTORED, facts.psn_no, at, lines)]
        case settlement_events.SettlementReversed(replaced_by=other) if other:
            at, lines = message.replacing_occurred_at, message.replacing_lines
            captured = _outcome(other, OutcomeState.CAPTURED, facts.psn_no, at, lines)
            return [replace(captured, replaces=_uuid(facts.setl_id))]
        case _:
            return []


def _outcome(
    setl_id: str, state: OutcomeState, psn_no: str, at: Timestamp, lines: Iterable[settlement_events.PaidLine]
) -> Outcome:
    if not at.seconds:
        raise UnreadableEventError("the event does not say when the settlement occurred, so it has no windows")
    occurred_at = moment(at)
    return Outcome(
        authorization_id=_uuid(setl_id),
        state=state,
        beneficiary_psn_no=psn_no,
        occurred_at=occurred_at,
        occurred_on=shanghai_date(occurred_at),
        lines=tuple(OutcomeLine(_uuid(line.relation_id), _amount(line.amount_fen)) for line in lines),
    )


def _uuid(text: str) -> UUID:
    try:
        return uuid_of(text)
    except ValueError:
        raise UnreadableEventError("an id of the event is not a UUID") from None


def _amount(amount_fen: int) -> int:
    if amount_fen < 0:
        raise UnreadableEventError("an amount of the event is negative")
    return amount_fen
