"""Reversing (结算撤销, 冲正) as a fence: its answer is final, and whoever asks again gets it again."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kit import tracing
from kit.clock import Clock
from kit.db import Work, retrying
from kit.ids import uuid7
from settlement import metrics
from settlement import settlement_events as events
from settlement.domain.body_hash import reversal_fingerprint
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.settling import payers_of, reverse_all
from settlement.domain.state import Fingerprint, Settlement, SettlementState, fenced
from settlement.repository import MsgKey, Reversal, SettlementRepository
from settlement.settle_service import open_day, release

Answer = Settlement | Exception
"""The settlement as the reversal left it; or why there is none."""


@dataclass(frozen=True, slots=True)
class ReverseCommand:
    """A Reverse request: its own msgid, and the settlement by msgid or by id."""

    fixmedins_code: str
    msgid: str
    original: str | UUID
    reason: str = ""

    @property
    def key(self) -> MsgKey:
        """What the request itself is known by."""
        return self.fixmedins_code, self.msgid

    @property
    def original_key(self) -> MsgKey | None:
        """What the settlement's request is known by, if it is named so."""
        return (self.fixmedins_code, self.original) if isinstance(self.original, str) else None

    @property
    def fingerprint(self) -> Fingerprint:
        """What its msgid is bound to."""
        return reversal_fingerprint(self.fixmedins_code, str(self.original))


class ReverseService:
    """Reverses lists of settlements, each list in one transaction."""

    def __init__(self, work: Work[SettlementRepository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def reverse(self, commands: Sequence[ReverseCommand]) -> list[Answer]:
        """An answer for each command, in their order.

        A settlement that is SETTLED becomes REVERSED, one that is PENDING ABANDONED; of an unknown msgid it is recorded
        that it shall never be settled. Others stay as they are. The refusals are MSGID_REUSED, NOT_FOUND (by setl_id,
        or by the msgid of a reversal) and FORBIDDEN_INSTITUTION.
        """
        return await retrying(lambda: self._reverse(commands))

    async def _reverse(self, commands: Sequence[ReverseCommand]) -> list[Answer]:
        async with self._work() as repository:
            targets = await _targets(repository, commands, self._clock.now())
            tracing.brings_about((str(target), place) for place, target in enumerate(targets))
            named = dict.fromkeys(target for target in targets if isinstance(target, UUID))
            locked = await repository.lock(named)
            # In the order of the requests, so that balances are those of reversing one by one.
            moved = await self._move(repository, [locked[each] for each in named])
            await repository.add_reversals(_requests(commands, targets))
        metrics.count(moved.values())
        after = locked | moved
        return [after[target] if isinstance(target, UUID) else target for target in targets]

    async def _move(self, repository: SettlementRepository, locked: Sequence[Settlement]) -> dict[UUID, Settlement]:
        pending = [settlement for settlement in locked if settlement.state is SettlementState.PENDING]
        paid = [settlement for settlement in locked if settlement.state is SettlementState.SETTLED]
        moved = await release(repository, pending, self._clock.now())
        if paid:
            moved += await give_back(repository, paid, self._clock.now())
        return {settlement.settlement_id: settlement for settlement in moved}


async def give_back(repository: SettlementRepository, paid: Sequence[Settlement], now: datetime) -> list[Settlement]:
    """These locked SETTLED settlements, reversed and told, with the money back on exactly the accounts that paid."""
    accounts = await repository.lock_accounts(owner for each in paid for owner, _ in payers_of(each))
    day = await open_day(repository, now)
    given_back, posted = reverse_all(paid, accounts, now, day)
    await repository.post(posted, accounts)
    await repository.save(given_back)
    told = [events.decided(settlement, now) for settlement in given_back]
    await repository.outbox.add([*told, *events.moved(posted)])
    return given_back


Target = UUID | Exception
"""The settlement that a command is about; or why it is refused."""


async def _targets(repository: SettlementRepository, commands: Sequence[ReverseCommand], now: datetime) -> list[Target]:
    reused = await _reused(repository, commands)
    named = await _named(
        repository, [command for command, is_reused in zip(commands, reused, strict=True) if not is_reused], now
    )
    by_id = await repository.find_by_ids({each.original for each in commands if isinstance(each.original, UUID)})
    targets: list[Target] = []
    for command, is_reused in zip(commands, reused, strict=True):
        if is_reused:
            targets.append(SettlementRefusedError(Reason.MSGID_REUSED, "this msgid was used before with another body"))
        elif command.original_key is not None:
            targets.append(named[command.original_key])
        else:
            targets.append(_by_id(command, by_id))
    return targets


def _by_id(command: ReverseCommand, found: Mapping[UUID, Settlement]) -> Target:
    settlement = found.get(command.original) if isinstance(command.original, UUID) else None
    if settlement is None:
        return SettlementRefusedError(Reason.NOT_FOUND, "there is no settlement of this setl_id")
    if settlement.fixmedins_code != command.fixmedins_code:
        return SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "this setl_id belongs to another institution")
    return settlement.settlement_id


async def _reused(repository: SettlementRepository, commands: Sequence[ReverseCommand]) -> list[bool]:
    """For each, whether its own msgid was used before: for a settlement, or for a reversal with another body."""
    keys = {command.key for command in commands}
    bound = {key: reversal.fingerprint for key, reversal in (await repository.find_reversals(keys)).items()}
    settled = (await repository.find_by_msgids(keys)).keys() - bound.keys()
    quoted = (await repository.quotes.find_by_msgids(keys)).keys()
    return [
        command.key in settled
        or command.key in quoted
        or bound.setdefault(command.key, command.fingerprint) != command.fingerprint
        for command in commands
    ]


async def _named(
    repository: SettlementRepository, commands: Sequence[ReverseCommand], now: datetime
) -> dict[MsgKey, Target]:
    """The settlements that commands name by msgid; those that have not come are fenced off."""
    keys = {command.original_key for command in commands if command.original_key is not None}
    found = _ids(await repository.find_by_msgids(keys))
    if missing := keys - found.keys():
        # A reversal is not undone. Were its msgid fenced off, the caller would read that nothing had been reversed.
        reversals = (await repository.find_reversals(missing)).keys() | {command.key for command in commands}
        quotes = (await repository.quotes.find_by_msgids(missing)).keys()
        found |= {key: _no_settlement("a reversal's") for key in missing & reversals}
        found |= _previews(quotes)
        found |= await _fenced(repository, sorted(missing - reversals - quotes), now)
    return found


def _no_settlement(whose: str) -> SettlementRefusedError:
    return SettlementRefusedError(Reason.NOT_FOUND, f"this msgid is {whose}; there is no settlement under it")


async def _fenced(repository: SettlementRepository, missing: Sequence[MsgKey], now: datetime) -> dict[MsgKey, Target]:
    fences = {key: fenced(uuid7(), *key, now) for key in missing}
    written = await repository.add_fences(list(fences.values()))
    # Some may have come at this very moment: then theirs is the record, not ours. A preview that came is held by now.
    quotes = (await repository.quotes.find_by_msgids(missing)).keys()
    await repository.withdraw_fences({fences[key].settlement_id for key in quotes} & written)
    return _ids(await repository.find_by_msgids(missing)) | _previews(quotes)


def _previews(keys: AbstractSet[MsgKey]) -> dict[MsgKey, Target]:
    return {key: _no_settlement("a held preview's, which is cancelled by its quote_id") for key in keys}


def _ids(found: Mapping[MsgKey, Settlement]) -> dict[MsgKey, Target]:
    return {key: settlement.settlement_id for key, settlement in found.items()}


def _requests(commands: Sequence[ReverseCommand], targets: Sequence[Target]) -> list[Reversal]:
    return [
        Reversal(command.fixmedins_code, command.msgid, target, command.fingerprint, command.reason)
        for command, target in zip(commands, targets, strict=True)
        if isinstance(target, UUID)
    ]
