"""Authorizing: holds for settlements under way, and the outcomes that end them."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from binding.domain.authorizations import Outcome
from binding.domain.batch import Answer, Book, Request, apply_all, authorize_all, preview_all, refuse_early
from binding.domain.nearly_used import NEARLY_USED_PERCENT
from binding.metrics import CONTRADICTIONS, UNKNOWN_RELATIONS
from binding.repository import Repository
from binding.service.nearly_used import tell
from kit.clock import Clock
from kit.db import Work, retrying
from kit.errors import Refusal
from kit.handling import is_postponable
from kit.observability import get_logger

Decide = Callable[[Sequence[Request], Book], list[Answer]]


class Authorizations:
    """What settlement asks, and what it tells afterwards.

    Args:
        work: units of work.
        clock: the time that events tell.
        real_clock: real time, by which a request is too old; never the movable clock.
        nearly_used_percent: from this share of a limit on it is told.
    """

    def __init__(
        self,
        work: Work[Repository],
        clock: Clock,
        real_clock: Clock,
        nearly_used_percent: int = NEARLY_USED_PERCENT,
    ) -> None:
        self._work = work
        self._clock = clock
        self._real_clock = real_clock
        self._nearly_used_percent = nearly_used_percent
        self._log = get_logger()

    async def authorize(self, requests: Sequence[Request]) -> list[Answer]:
        """Apply the outcomes that come along, then hold for each request what its payers may give."""
        return await self._answers(requests, partial(self._batch, decide=authorize_all, hold=True))

    async def preview(self, requests: Sequence[Request]) -> list[Answer]:
        """The same answers, holding nothing; the outcomes are applied all the same."""
        return await self._answers(requests, partial(self._batch, decide=preview_all, hold=False))

    async def apply(self, repository: Repository, outcomes: Sequence[Outcome]) -> Book:
        """Apply outcomes that came as events, in the unit of work of their inbox; `report` the book once it is over."""
        rest = await repository.end_holds(outcomes, self._nearly_used_percent)
        book = await repository.open_book([], rest, hold=False) if rest else Book({}, {}, {}, {})
        book.nearly_used_percent = self._nearly_used_percent
        apply_all(rest, book)
        await self._close(repository, book)
        return book

    async def _answers(
        self, requests: Sequence[Request], ask: Callable[[Sequence[Request]], Awaitable[list[Answer]]]
    ) -> list[Answer]:
        early = refuse_early(requests, self._real_clock.now())
        rest = [request for request, refusal in zip(requests, early, strict=True) if refusal is None]
        answers = iter(await self._together_or_alone(rest, ask) if rest else [])
        return [refusal or next(answers) for refusal in early]

    async def _together_or_alone(
        self, requests: Sequence[Request], ask: Callable[[Sequence[Request]], Awaitable[list[Answer]]]
    ) -> list[Answer]:
        try:
            return await ask(requests)
        except Exception as error:
            if is_postponable(error):
                raise Refusal("UNAVAILABLE", "the database is away or busy; send the same again") from error
            # One bad request never fails the others: whoever it is fails alone.
            self._log.exception("authorizing failed", requests=len(requests))
            if len(requests) == 1:
                return [Answer(requests[0].authorization_id, refusal="INTERNAL")]
        return [answer for request in requests for answer in await self._together_or_alone([request], ask)]

    async def _batch(self, requests: Sequence[Request], *, decide: Decide, hold: bool) -> list[Answer]:
        return await retrying(partial(self._unit, requests, decide, hold=hold))

    async def _unit(self, requests: Sequence[Request], decide: Decide, *, hold: bool) -> list[Answer]:
        async with self._work() as repository:
            book = await repository.open_book(requests, [], hold=hold)
            book.nearly_used_percent = self._nearly_used_percent
            answers = decide(requests, book)
            await self._close(repository, book)
        self.report(book)
        return answers

    async def _close(self, repository: Repository, book: Book) -> None:
        await repository.close_book(book)
        await tell(repository, book.notices, self._clock.now())

    def report(self, book: Book) -> None:
        """Count for the operators what was odd; after the commit, because what is rolled back comes again."""
        for it in book.contradictions:
            CONTRADICTIONS.inc()
            self._log.error(
                "contradictory outcome", authorization=str(it.authorization_id), state=it.state, outcome=it.outcome
            )
        if book.unknown_relations:
            UNKNOWN_RELATIONS.inc(len(book.unknown_relations))
            self._log.error("outcome of unknown relations", relations=sorted(map(str, book.unknown_relations)))
