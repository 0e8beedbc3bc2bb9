"""The review queue and what clerks did: SQLAlchemy Core."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    and_,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from binding.domain.applications import Application, ApplicationState, Step
from binding.domain.decision_reasons import DecisionReason
from binding.domain.review_statistics import ClerkDay, Figures
from binding.domain.reviews import DECISIONS, Clerk, QueueState, ReviewStep
from binding.repository.applications import ApplicationRows
from binding.repository.interface import Period, QueueCount, QueueFilter, QueuePlace
from binding.repository.tables import APPLICATION, REVIEW_STEP
from kit.clock import shanghai_date

_A = APPLICATION.c
_PENDING = _A.state.in_((ApplicationState.SUBMITTED.value, ApplicationState.CLAIMED.value))
# As the index has it: what a replica of the release before hands in has no due day, and comes first.
_DUE = func.coalesce(_A.due_on, literal_column("DATE '1970-01-01'"))
_ORDER = (_DUE, _A.submitted_at, _A.application_id)
# Leases are judged by real time, in the database, while the row is locked.
_NOW = func.clock_timestamp()
_IN_STATE: dict[QueueState, ColumnElement[bool]] = {
    QueueState.WAITING: and_(_A.handled_at.is_(None), or_(_A.claim_expires_at.is_(None), _A.claim_expires_at <= _NOW)),
    QueueState.CLAIMED: and_(_A.handled_at.is_(None), _A.claim_expires_at > _NOW),
    QueueState.HANDLED: _A.handled_at.is_not(None),
}

_S = REVIEW_STEP.c
_DECIDED = _S.step.in_([step.value for step in DECISIONS])
_WAIT = func.floor(func.extract("epoch", _S.at - _S.submitted_at)).cast(BigInteger)
# In the order of the fields of Figures.
_FIGURES = (
    func.count(_S.application_id.distinct()).filter(_S.step == Step.CLAIM.value),
    *(func.count().filter(_S.step == step.value) for step in (Step.APPROVE, Step.REJECT, Step.RETURN)),
    *(func.percentile_disc(share).within_group(_WAIT).filter(_DECIDED) for share in (0.5, 0.9)),
)


class ReviewRows(ApplicationRows):
    """The queue and the steps in one transaction."""

    async def database_time(self) -> datetime:
        """See `Repository.database_time`."""
        return cast("datetime", (await self._sql.execute(select(_NOW))).scalar_one())

    async def queue(self, wanted: QueueFilter, after: QueuePlace | None, limit: int) -> list[Application]:
        """See `Repository.queue`."""
        query = select(APPLICATION).where(_PENDING, *_conditions(wanted)).order_by(*_ORDER).limit(limit)
        return await self._applications(query.where(tuple_(*_ORDER) > tuple_(*after)) if after else query)

    async def queue_counts(self, region: str, today: date) -> list[QueueCount]:
        """See `Repository.queue_counts`."""
        counted = [func.count().filter(_IN_STATE[state]) for state in QueueState]
        query = (
            select(_A.region, *counted, func.count().filter(_A.due_on < today), func.min(_A.submitted_at))
            .where(_PENDING, *_conditions(QueueFilter(region)))
            .group_by(_A.region)
            .order_by(_A.region)
        )
        return [QueueCount(*row) for row in (await self._sql.execute(query)).all()]

    async def next_waiting(self, region: str, clerk: Clerk) -> Application | None:
        """See `Repository.next_waiting`."""
        query = (
            select(APPLICATION)
            .where(_PENDING, *_conditions(QueueFilter(region, QueueState.WAITING)), *_no_party(clerk))
            .order_by(*_ORDER)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        found = await self._applications(query)
        return found[0] if found else None

    async def renew_claim(self, application: Application) -> None:
        """See `Repository.renew_claim`."""
        await self._sql.execute(
            update(APPLICATION)
            .where(_A.application_id == application.application_id)
            .values(claim_expires_at=application.claim_expires_at)
        )

    async def lock_applications(self, application_ids: Collection[UUID]) -> dict[UUID, Application]:
        """See `Repository.lock_applications`."""
        query = select(APPLICATION).where(_A.application_id.in_(application_ids))
        found = await self._applications(query.order_by(_A.application_id).with_for_update())
        return {it.application_id: it for it in found}

    async def add_review_steps(self, steps: Sequence[ReviewStep]) -> None:
        """See `Repository.add_review_steps`."""
        if steps:
            await self._sql.execute(insert(REVIEW_STEP), [_step_columns(it) for it in steps])

    async def review_steps_of_items(self, clerk: str, request_ids: Collection[UUID]) -> dict[UUID, ReviewStep]:
        """See `Repository.review_steps_of_items`."""
        query = select(REVIEW_STEP).where(REVIEW_STEP.c.clerk == clerk, REVIEW_STEP.c.request_id.in_(request_ids))
        return {row.request_id: _step_of(row) for row in (await self._sql.execute(query)).all()}

    async def figures_by_clerk(
        self, period: Period, after: ClerkDay | None, limit: int
    ) -> list[tuple[ClerkDay, Figures]]:
        """See `Repository.figures_by_clerk`."""
        keys = (_S.day, _S.clerk)
        query = select(*keys, *_FIGURES).where(*_within(period)).group_by(*keys).order_by(*keys).limit(limit)
        query = query.where(tuple_(*keys) > tuple_(*after)) if after else query
        rows = (await self._sql.execute(query)).all()
        return [(ClerkDay(row[0], row[1]), Figures(*row[2:])) for row in rows]

    async def figures_by_region(self, period: Period) -> dict[str, Figures]:
        """See `Repository.figures_by_region`."""
        query = select(_S.region, *_FIGURES).where(*_within(period)).group_by(_S.region)
        return {row[0]: Figures(*row[1:]) for row in (await self._sql.execute(query)).all()}

    async def review_steps(self, application_id: UUID) -> list[ReviewStep]:
        """See `Repository.review_steps`."""
        query: Select[Any] = select(REVIEW_STEP).where(REVIEW_STEP.c.application_id == application_id)
        rows = (await self._sql.execute(query.order_by(REVIEW_STEP.c.step_no))).all()
        return [_step_of(row) for row in rows]


def _within(period: Period) -> list[ColumnElement[bool]]:
    days = _S.day.between(period.first, period.last)
    return [days, _S.region == period.region] if period.region else [days]


def _conditions(wanted: QueueFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.region:
        conditions.append(_A.region == wanted.region)
    if wanted.state:
        conditions.append(_IN_STATE[wanted.state])
    if wanted.overdue_on:
        conditions.append(_A.due_on < wanted.overdue_on)
    if wanted.handler:
        conditions.append(_A.handler == wanted.handler)
    return conditions


def _no_party(clerk: Clerk) -> list[ColumnElement[bool]]:
    conditions = [_A.applicant != clerk.subject]
    if clerk.psn_no:
        conditions += [_A.payer_psn_no != clerk.psn_no, _A.beneficiary_psn_no != clerk.psn_no]
    return conditions


def _step_columns(it: ReviewStep) -> dict[str, object]:
    return {
        "application_id": it.application_id,
        "step": it.step.value,
        "clerk": it.clerk,
        "at": it.at,
        "day": shanghai_date(it.at),
        "region": it.region,
        "submitted_at": it.submitted_at,
        "due_on": it.due_on,
        "handed_to": it.handed_to,
        "reason_code": it.reason.value if it.reason else "",
        "words": it.words,
        "request_id": it.request_id,
    }


def _step_of(row: Row[Any]) -> ReviewStep:
    return ReviewStep(
        application_id=row.application_id,
        step=Step(row.step),
        clerk=row.clerk,
        at=row.at,
        region=row.region,
        submitted_at=row.submitted_at,
        due_on=row.due_on,
        handed_to=row.handed_to,
        reason=DecisionReason(row.reason_code) if row.reason_code else None,
        words=row.words,
        request_id=row.request_id,
    )
