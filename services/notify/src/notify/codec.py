"""From the contracts' messages to the domain's facts and back."""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from google.protobuf.message import Message as ProtoMessage
from google.protobuf.timestamp_pb2 import Timestamp

from gongji.binding.events.v1 import events_pb2 as binding
from gongji.binding.v1 import relation_pb2
from gongji.notify.v1 import inbox_pb2, notice_pb2
from gongji.settlement.events.v1 import account_events_pb2 as account
from kit.errors import FieldViolation, InvalidFields
from kit.timestamps import moment, timestamp
from notify.delivery_codec import kind_to_proto
from notify.domain import facts
from notify.domain.notices import Category
from notify.domain.wording import reason
from notify.repository import Cursor, StoredMessage

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FAR_AHEAD: Final = datetime(2999, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_RELATIONSHIPS: Final = {
    relation_pb2.RELATIONSHIP_SPOUSE: facts.Relationship.SPOUSE,
    relation_pb2.RELATIONSHIP_PARENT: facts.Relationship.PARENT,
    relation_pb2.RELATIONSHIP_CHILD: facts.Relationship.CHILD,
    relation_pb2.RELATIONSHIP_SIBLING: facts.Relationship.SIBLING,
    relation_pb2.RELATIONSHIP_GRANDPARENT: facts.Relationship.GRANDPARENT,
    relation_pb2.RELATIONSHIP_GRANDCHILD: facts.Relationship.GRANDCHILD,
}
_WINDOWS: Final = {
    relation_pb2.LIMIT_WINDOW_SETTLEMENT: facts.Window.SETTLEMENT,
    relation_pb2.LIMIT_WINDOW_DAY: facts.Window.DAY,
    relation_pb2.LIMIT_WINDOW_MONTH: facts.Window.MONTH,
    relation_pb2.LIMIT_WINDOW_YEAR: facts.Window.YEAR,
    relation_pb2.LIMIT_WINDOW_TOTAL: facts.Window.TOTAL,
}
_CAUSES: Final = {
    binding.RELATION_END_CAUSE_UNBOUND: facts.EndCause.UNBOUND,
    binding.RELATION_END_CAUSE_EXPIRED: facts.EndCause.EXPIRED,
    binding.RELATION_END_CAUSE_PAYER_DIED: facts.EndCause.PAYER_DIED,
    binding.RELATION_END_CAUSE_BENEFICIARY_DIED: facts.EndCause.BENEFICIARY_DIED,
    binding.RELATION_END_CAUSE_PAYER_ENROLMENT_LOST: facts.EndCause.PAYER_ENROLMENT_LOST,
    binding.RELATION_END_CAUSE_BENEFICIARY_ENROLMENT_LOST: facts.EndCause.BENEFICIARY_ENROLMENT_LOST,
}
_CATEGORIES: Final = {
    Category.BALANCE: inbox_pb2.MESSAGE_CATEGORY_BALANCE,
    Category.ACCOUNT: inbox_pb2.MESSAGE_CATEGORY_ACCOUNT,
    Category.APPLICATION: inbox_pb2.MESSAGE_CATEGORY_APPLICATION,
    Category.RELATION: inbox_pb2.MESSAGE_CATEGORY_RELATION,
}


class UnknownEventError(Exception):
    """An event of a consumed topic has no text; its type is named. Add it here and in `domain/notices.py`."""


class IncompleteEventError(Exception):
    """An event lacks what its text needs, or says something that no text knows; names the field, never a value."""


def fact_of(event: ProtoMessage) -> facts.Fact:
    """What an event says happened.

    Raises:
        UnknownEventError: there is no text for such an event.
        IncompleteEventError: it says something that cannot be put into words.
    """
    read = _READERS.get(event.DESCRIPTOR.full_name)
    if read is None:
        raise UnknownEventError(event.DESCRIPTOR.full_name)
    return read(event)


def _movement(event: account.AccountDebited | account.AccountRefunded) -> facts.Movement:
    return facts.Movement(
        owner=event.psn_no,
        patient=event.patient_psn_no,
        fixmedins_code=event.fixmedins_code,
        amount_fen=event.amount_fen,
        balance_after_fen=event.balance_after_fen,
        at=moment(event.posted_at),
    )


def _debited(event: account.AccountDebited) -> facts.Debited | facts.PremiumPaid:
    return facts.PremiumPaid(_premium(event)) if event.premium_year else facts.Debited(_movement(event))


def _refunded(event: account.AccountRefunded) -> facts.Refunded | facts.PremiumRefunded:
    return facts.PremiumRefunded(_premium(event)) if event.premium_year else facts.Refunded(_movement(event))


def _premium(event: account.AccountDebited | account.AccountRefunded) -> facts.Premium:
    return facts.Premium(
        payer=event.psn_no,
        insured=event.patient_psn_no,
        year=event.premium_year,
        amount_fen=event.amount_fen,
        balance_after_fen=event.balance_after_fen,
        at=moment(event.posted_at),
    )


def _credited(event: account.AccountCredited) -> facts.Credited:
    is_interest = event.kind == account.CONTRIBUTION_KIND_INTEREST
    return facts.Credited(
        event.psn_no, event.amount_fen, event.balance_after_fen, moment(event.posted_at), is_interest=is_interest
    )


def _account_change(
    event: account.AccountFrozen | account.AccountUnfrozen | account.AccountClosed, at: Timestamp
) -> facts.AccountChange:
    return facts.AccountChange(event.psn_no, event.balance_after_fen, moment(at), event.reason)


def _pair(stated: binding.ApplicationFacts | binding.RelationFacts) -> facts.Pair:
    # A relationship that is added later is still a family's: it must not keep anybody from being told.
    relationship = _RELATIONSHIPS.get(stated.relationship, facts.Relationship.OTHER)
    return facts.Pair(stated.payer_psn_no, stated.beneficiary_psn_no, relationship)


def _terms(relation: binding.RelationFacts) -> facts.Terms:
    stated = relation.limits
    limits = tuple(
        (window, getattr(stated, name))
        for window in facts.Window
        if stated.HasField(name := f"{window.name.lower()}_fen")  # type: ignore[arg-type]
    )
    if not limits:
        raise IncompleteEventError("relation.limits is empty")
    valid_from = _day("relation.valid_from", relation.valid_from)
    return facts.Terms(limits, valid_from, _day("relation.valid_to", relation.valid_to))


def _activated(event: binding.RelationActivated) -> facts.Activated | facts.Resumed:
    pair, at = _pair(event.relation), moment(event.activated_at)
    if not event.application_id:
        return facts.Resumed(pair, at)
    return facts.Activated(pair, _terms(event.relation), at)


def _ended(event: binding.RelationEnded) -> facts.Ended:
    cause = _CAUSES.get(event.cause, facts.EndCause.OTHER)
    ended_from = _day("ended_from", event.ended_from) if event.ended_from else None
    return facts.Ended(_pair(event.relation), moment(event.ended_at), cause, ended_from)


def _limit_nearly_used(event: binding.LimitNearlyUsed) -> facts.LimitNearlyUsed:
    window = _WINDOWS.get(event.window)
    if window is None:
        raise IncompleteEventError("window is not one that a text knows")
    return facts.LimitNearlyUsed(
        _pair(event.relation), window, event.used_fen, event.limit_fen, moment(event.noticed_at)
    )


_READERS: Final[Mapping[str, Callable[[Any], facts.Fact]]] = {
    "gongji.settlement.events.v1.AccountDebited": _debited,
    "gongji.settlement.events.v1.AccountRefunded": _refunded,
    "gongji.settlement.events.v1.AccountCredited": _credited,
    "gongji.settlement.events.v1.AccountFrozen": lambda event: facts.Frozen(_account_change(event, event.frozen_at)),
    "gongji.settlement.events.v1.AccountUnfrozen": lambda event: facts.Unfrozen(
        _account_change(event, event.unfrozen_at)
    ),
    "gongji.settlement.events.v1.AccountClosed": lambda event: facts.Closed(_account_change(event, event.closed_at)),
    "gongji.settlement.events.v1.AccountPaidOut": lambda event: facts.PaidOut(
        event.psn_no,
        event.amount_fen,
        moment(event.posted_at),
        event.reason,
        to_heirs=event.way == account.PAYOUT_WAY_HEIRS,
    ),
    "gongji.binding.events.v1.ApplicationSubmitted": lambda event: facts.Submitted(
        _pair(event.application), moment(event.submitted_at)
    ),
    "gongji.binding.events.v1.ApplicationConsented": lambda event: facts.Consented(
        _pair(event.application), moment(event.consented_at)
    ),
    "gongji.binding.events.v1.ApplicationWithdrawn": lambda event: facts.Withdrawn(
        _pair(event.application), moment(event.withdrawn_at)
    ),
    "gongji.binding.events.v1.ApplicationExpired": lambda event: facts.LapsedDraft(
        _pair(event.application), moment(event.expired_at)
    ),
    "gongji.binding.events.v1.ApplicationReturned": lambda event: facts.Returned(
        _pair(event.application), moment(event.returned_at), reason(event.reason_text, event.reason)
    ),
    "gongji.binding.events.v1.ApplicationRejected": lambda event: facts.Rejected(
        _pair(event.application), moment(event.rejected_at), reason(event.reason_text, event.reason)
    ),
    "gongji.binding.events.v1.RelationActivated": _activated,
    "gongji.binding.events.v1.RelationChanged": lambda event: facts.Changed(
        _pair(event.relation), _terms(event.relation), event.relation.priority, moment(event.changed_at)
    ),
    "gongji.binding.events.v1.RelationSuspended": lambda event: facts.Suspended(
        _pair(event.relation), moment(event.suspended_at), event.reason
    ),
    "gongji.binding.events.v1.RelationEnded": _ended,
    "gongji.binding.events.v1.LimitNearlyUsed": _limit_nearly_used,
    "gongji.binding.events.v1.RelationExpiring": lambda event: facts.Expiring(
        _pair(event.relation), _day("relation.valid_to", event.relation.valid_to)
    ),
    "gongji.binding.events.v1.BeneficiaryComesOfAge": lambda event: facts.ComesOfAge(
        _pair(event.relation), _day("comes_of_age_on", event.comes_of_age_on)
    ),
}


def _day(field: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise IncompleteEventError(f"{field} is not a date") from None


def message_to_proto(stored: StoredMessage) -> inbox_pb2.Message:
    """A message as the contract has it."""
    message = stored.message
    return inbox_pb2.Message(
        message_id=str(message.message_id),
        category=_CATEGORIES[message.notice.category],
        title=message.notice.title,
        body=message.notice.body,
        occurred_at=timestamp(message.occurred_at),
        event_id=str(message.event_id),
        read_at=timestamp(stored.read_at) if stored.read_at else None,
        kind=kind_to_proto(message.kind) if message.kind else notice_pb2.NOTICE_KIND_UNSPECIFIED,
        language=message.language,
    )


def resume_token(at: datetime) -> str:
    """The opaque form of a moment from which watching goes on."""
    return base64.urlsafe_b64encode(str((at - _EPOCH) // _MICROSECOND).encode()).decode().rstrip("=")


def resumed_from(token: str) -> datetime | None:
    """The moment that a resume token stands for; None for the empty one.

    Raises:
        InvalidFields: `resume_token` is not one that was given out.
    """
    if not token:
        return None
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("ascii")
        at = _EPOCH + int(text) * _MICROSECOND
    except (binascii.Error, ValueError, OverflowError):
        raise _bad_resume_token() from None
    if resume_token(at) != token or not _EPOCH <= at < _FAR_AHEAD:
        raise _bad_resume_token()
    return at


def _bad_resume_token() -> InvalidFields:
    return InvalidFields([FieldViolation("resume_token", "must be a resume_token of an earlier answer")])


def page_token(cursor: Cursor | None) -> str:
    """The opaque form of a place; empty for none."""
    if cursor is None:
        return ""
    microseconds = (cursor.occurred_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}:{cursor.position}".encode()).decode().rstrip("=")


def cursor_of(token: str) -> Cursor | None:
    """The place that a page token stands for; None for the empty one.

    Raises:
        InvalidFields: `page_token` is not one that was given out.
    """
    if not token:
        return None
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("ascii")
        microseconds, position = (int(part) for part in text.split(":"))
        cursor = Cursor(_EPOCH + timedelta(microseconds=microseconds), position)
    except (binascii.Error, ValueError, OverflowError):
        raise _bad_token() from None
    if page_token(cursor) != token or not 0 <= position < 2**63:
        raise _bad_token()
    return cursor


def _bad_token() -> InvalidFields:
    return InvalidFields([FieldViolation("page_token", "must be a next_page_token of an earlier answer")])
