"""Settling many bills of one call: lists go straight into the services, as they are."""

from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from typing import Final

from kit.errors import Refusal
from kit.lanes import Lanes
from settlement.commands import Command
from settlement.intents import Answer

BATCH_MAX: Final = 500
"""Bills in one batch; as many as binding takes in one call."""

UNANSWERED_IN_ALL: Final = 20_000
"""Bills of all streams together that came and have no result on its way; each stream has a bound of its own, too."""

SettleMany = Callable[[Sequence[Command]], Awaitable[Sequence[Answer]]]


class Bulk:
    """Lists of bills, some lists at a time; of one patient one at a time.

    Args:
        settle: settles a list of bills, no patient and no msgid twice in it.
        settle_quotes: the same for orders that name the held preview that they settle.
        most_in_flight: lists in flight at a time.
        max_waiting: bills of batches that wait, beside the lists in flight.
        most_in_streams: bills of streams without a result, beyond which streams are read no faster than settled.
    """

    def __init__(
        self,
        settle: SettleMany,
        settle_quotes: SettleMany,
        most_in_flight: int,
        max_waiting: int,
        most_in_streams: int = UNANSWERED_IN_ALL,
    ) -> None:
        self._settle = settle
        self._settle_quotes = settle_quotes
        self._most = max_waiting + most_in_flight * BATCH_MAX
        self._taken = 0
        self.most_in_streams = most_in_streams
        self.unanswered = 0
        """Bills of all streams that have come and have no result on its way."""
        self._lanes: Lanes[Command, Answer] = Lanes(
            self._ask, most_in_flight, max_waiting + most_in_streams, _patient, "bulk"
        )

    async def settle(self, commands: Sequence[Command]) -> list[Answer]:
        """An answer for each command, in their order, as if each had been settled before the next one came.

        Raises:
            Refusal: OVERLOADED or UNAVAILABLE, and nothing has been done.
        """
        if self._taken + len(commands) > self._most:
            raise Refusal("OVERLOADED", "too many bills are waiting; wait a little and send the same again")
        self._taken += len(commands)
        try:
            return await self._settle_runs(commands)
        finally:
            self._taken -= len(commands)

    async def _settle_runs(self, commands: Sequence[Command]) -> list[Answer]:
        answers: list[Answer] = []
        for run in runs(commands):
            try:
                answers += await self._lanes.run(run)
            except Refusal as refusal:
                if not answers:
                    raise
                answers += [refusal] * len(run)
        return answers

    async def run(self, commands: Sequence[Command]) -> list[Answer]:
        """The same for one run, see `runs`."""
        try:
            return list(await self._lanes.run(commands))
        except Refusal as refusal:
            return [refusal] * len(commands)

    async def drain(self) -> None:
        """Refuse what comes from now on, answer what was accepted before."""
        await self._lanes.drain()

    async def _ask(self, commands: Sequence[Command]) -> Sequence[Answer]:
        return await (self._settle_quotes if _names_quote(commands[0]) else self._settle)(commands)


def runs(commands: Sequence[Command], most: int = BATCH_MAX) -> Iterator[Sequence[Command]]:
    """The commands cut into parts of which each may be settled as one list, in their order.

    A part has no patient and no msgid twice, since the second of a patient counts on what the first has used, and is
    either of bills or of held previews. Nothing is moved to an earlier part: bills of different patients may share a
    payer, whose money goes to the one that came first.
    """
    first = 0
    while first < len(commands):
        end = end_of_run(commands, first, most)
        yield commands[first:end]
        first = end


def end_of_run(commands: Sequence[Command], first: int, most: int) -> int:
    """Where the part that begins with `first` ends."""
    seen: set[Hashable] = set()
    of_quotes = _names_quote(commands[first])
    for place in range(first, min(first + most, len(commands))):
        command = commands[place]
        patient, msgid = ("patient", _patient(command)), ("msgid", command.key)
        if patient in seen or msgid in seen or _names_quote(command) is not of_quotes:
            return place
        seen |= {patient, msgid}
    return min(first + most, len(commands))


def _names_quote(command: Command) -> bool:
    return command.order.quote_id is not None


def _patient(command: Command) -> str:
    return command.order.bill.psn_no
