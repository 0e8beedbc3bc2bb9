"""What an operator does with dead letters: looks at them, lets them be handled again, or gives one up.

The letters themselves stay where they are until Kafka lets go of them; what was done with each is in the service's
database (`kit.dlq_actions`), and one that has ended is passed over.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kit.db_errors import is_unavailable
from kit.dead_letters import DeadLetterQueue, Record, dlq_of
from kit.dlq_actions import Action, ActionsWork, Deed, End
from kit.dlq_letters import DeadLetters, Letter, Place
from kit.failures import OperatorError
from kit.handling import BatchProcessor, Handler, PostponedError, RetryPolicy
from kit.kafka_client import KafkaError
from kit.topics import Catalogue

MAX_REPLAYED: Final = 1_000
_PAGE: Final = 100
_ENDED: Final = {
    Action.REPLAYED: "was replayed",
    Action.FAILED_AGAIN: "was replayed and failed again, so that it lies anew at the DLQ's end",
    Action.DROPPED: "was dropped",
}


class LetterError(OperatorError):
    """A letter that cannot be replayed or dropped; the text says why not."""


class ReplayStoppedError(OperatorError):
    """The replay could not go on (database or Kafka away); run it again, it continues where it stopped."""

    afterwards = "Then run it again: it goes on where it stopped."


@dataclass(frozen=True, slots=True)
class Found:
    """A letter, and how it ended if it did."""

    letter: Letter
    end: End | None


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a replay."""

    replayed: int = 0
    """Events that were handled now."""
    buried: int = 0
    """Events that failed again; they are at the end of the DLQ."""
    others: int = 0
    """Events of other consumers; left for their own replay."""


@dataclass(frozen=True, slots=True)
class Drop:
    """What came of dropping a letter."""

    was_handled: bool
    """Its event had had its effect before, so that dropping the letter takes nothing away."""


class Looking:
    """Reads the letters of a topic together with how they ended.

    Args:
        letters: where they lie.
        work: what was done with them.
        groups: the service's consumer groups; letters of others are none of its business.
    """

    def __init__(self, letters: DeadLetters, work: ActionsWork, groups: Sequence[str]) -> None:
        self._letters = letters
        self._work = work
        self._groups = frozenset(groups)

    async def all(self, topic: str) -> AsyncIterator[Found]:
        """Every letter of the topic, also those of others, which are open to us for ever."""
        page: list[Letter] = []
        async for letter in self._letters.all(dlq_of(topic)):
            page.append(letter)
            if len(page) == _PAGE:
                for found in await self._found(page):
                    yield found
                page = []
        for found in await self._found(page):
            yield found

    async def at(self, topic: str, place: Place) -> Found:
        """The letter at a place.

        Raises:
            LetterError: there is none, or it is another consumer's.
        """
        letter = await self._letters.at(dlq_of(topic), place)
        if letter is None:
            raise LetterError(
                f"There is no letter at {place} of {dlq_of(topic)}. `dlq list {topic}` shows those there are."
            )
        if not self.is_ours(letter):
            raise LetterError(
                f"The letter at {place} is one of the consumer {letter.consumer!r}. Use that service's command."
            )
        return (await self._found([letter]))[0]

    def is_ours(self, letter: Letter) -> bool:
        """Whether one of this service's groups failed on it."""
        return letter.consumer in self._groups

    async def _found(self, page: Sequence[Letter]) -> list[Found]:
        if not page:
            return []
        async with self._work() as actions:
            ends = await actions.ends(page)
        return [Found(letter, end) for letter, end in zip(page, ends, strict=True)]


class Dropping:
    """Gives letters up for good."""

    def __init__(self, looking: Looking, work: ActionsWork) -> None:
        self._looking = looking
        self._work = work

    async def drop(self, topic: str, place: Place, operator: str, reason: str) -> Drop:
        """Write down that this letter is given up, and why, and let its event never have its effect.

        Raises:
            LetterError: there is no such letter, it is another consumer's, or it has ended already.
        """
        found = await self._looking.at(topic, place)
        letter = open_letter(found)
        async with self._work() as actions:
            if not await actions.add(letter, Deed(Action.DROPPED, operator, reason)):
                (end,) = await actions.ends([letter])
                raise _ended(letter, end)
            if letter.event_id is None:
                return Drop(was_handled=False)
            return Drop(was_handled=not await actions.inbox.first_time(letter.consumer, [letter.event_id]))


class Replaying:
    """Lets letters be handled again by who failed on them, once what made them fail is mended.

    Args:
        looking: finds them.
        queue: takes those that fail again, at the DLQ's end.
        work: where it is written down.
        handlers: what handles the events of each consumer group; has the effect once, by the inbox.
        topics: instead of the catalogue beside the contracts.
    """

    def __init__(
        self,
        looking: Looking,
        queue: DeadLetterQueue,
        work: ActionsWork,
        handlers: Mapping[str, Handler],
        topics: Catalogue | None = None,
    ) -> None:
        self._looking = looking
        self._work = work
        self._again = _Again(queue)
        never_halts = RetryPolicy(halt_after=MAX_REPLAYED + 1)  # its own limit ends a replay
        self._processors = {
            group: BatchProcessor(group, handler, self._again, never_halts, topics)
            for group, handler in handlers.items()
        }

    async def all(self, topic: str, operator: str, limit: int = MAX_REPLAYED) -> Replay:
        """Replay the open letters of the service, oldest first, `limit` at most.

        Only what is in the DLQ when it begins is looked at, so that what fails again is not tried for ever.

        Raises:
            ReplayStoppedError: the database or Kafka went away.
        """
        result = Replay()
        try:
            async for found in self._looking.all(topic):
                if result.replayed + result.buried >= limit:
                    break
                if not self._looking.is_ours(found.letter):
                    result = replace(result, others=result.others + 1)
                elif found.end is None:
                    result = await self._one(found.letter, operator, result)
        except Exception as error:
            _raise_if_stopped(error)
            raise
        return result

    async def one(self, topic: str, place: Place, operator: str) -> Replay:
        """Replay one letter.

        Raises:
            LetterError: there is no such letter, it is another consumer's, or it has ended already.
            ReplayStoppedError: the database or Kafka went away.
        """
        try:
            letter = open_letter(await self._looking.at(topic, place))
            return await self._one(letter, operator, Replay())
        except Exception as error:
            _raise_if_stopped(error)
            raise

    async def _one(self, letter: Letter, operator: str, before: Replay) -> Replay:
        async with self._work() as actions:
            if await actions.ends([letter]) != [None]:  # meanwhile, by somebody else
                return before
            await actions.add(letter, Deed(Action.REPLAY_BEGUN, operator))
        self._again.letter = letter
        await self._processors[letter.consumer].process([letter.origin])
        failed = self._again.letter is None
        async with self._work() as actions:
            is_ours = await actions.add(letter, Deed(Action.FAILED_AGAIN if failed else Action.REPLAYED, operator))
        if failed:  # it lies at the DLQ's end, whoever else has ended this one meanwhile
            return replace(before, buried=before.buried + 1)
        return replace(before, replayed=before.replayed + 1) if is_ours else before


class _Again:
    """A dead-letter queue that buries the letter under way instead of its origin: it knows how often it was tried."""

    def __init__(self, queue: DeadLetterQueue) -> None:
        self._queue = queue
        self.letter: Letter | None = None
        """None once it has failed again."""

    async def bury(self, record: Record, group: str, error: BaseException) -> None:
        await self._queue.bury(self.letter.record if self.letter else record, group, error)
        self.letter = None

    async def close(self) -> None:
        await self._queue.close()


def open_letter(found: Found) -> Letter:
    """The letter, if something can still be done with it.

    Raises:
        LetterError: it has ended.
    """
    if found.end is not None:
        raise _ended(found.letter, found.end)
    return found.letter


def ending(end: End) -> str:
    """How a letter ended, in words."""
    because = f" because: {end.deed.reason}" if end.deed.reason else ""
    return f"{_ENDED[end.deed.action]} by {end.deed.operator} at {end.at:%Y-%m-%d %H:%M:%S}Z{because}"


def _ended(letter: Letter, end: End | None) -> LetterError:
    return LetterError(f"The letter at {letter.place} {ending(end) if end else 'has ended'}.")


def _raise_if_stopped(error: Exception) -> None:
    if isinstance(error, PostponedError | KafkaError | OSError) or is_unavailable(error):
        why = f"The replay was stopped by {type(error).__name__}: {error}. {ReplayStoppedError.afterwards}"
        raise ReplayStoppedError(why) from error
