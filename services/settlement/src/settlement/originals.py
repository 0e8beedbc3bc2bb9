"""Settling again (R12): which settlement a request names, and whether its bill may be settled again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from settlement.commands import Command
from settlement.domain.bill import InstitutionType
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.refusal import decide_refusal_again
from settlement.domain.state import Settlement, SettlementState
from settlement.repository import SettlementRepository
from settlement.visits import Admitted

Verdict = Admitted | Reason | SettlementRefusedError


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch in which those that settle again say which settlement that is."""

    commands: Mapping[int, Command]
    originals: Mapping[int, Settlement]
    """By place, what is settled again; nothing where there is no such settlement."""


async def named_originals(repository: SettlementRepository, commands: Sequence[Command]) -> Asked:
    """The commands by place, each with the id of what it settles again, which is part of its body."""
    asked = dict(enumerate(commands))
    again = {place: command for place, command in asked.items() if command.original is not None}
    if not again:
        return Asked(asked, {})
    by_id = await repository.find_by_ids({each.original for each in again.values() if isinstance(each.original, UUID)})
    by_msgid = await repository.find_by_msgids(
        {(each.order.fixmedins_code, each.original) for each in again.values() if isinstance(each.original, str)}
    )
    originals = {}
    for place, command in again.items():
        named = command.original
        found = by_id.get(named) if isinstance(named, UUID) else by_msgid.get((command.key[0], str(named)))
        if found is not None:
            originals[place] = found
            asked[place] = replace(command, order=replace(command.order, replaces=found.settlement_id))
    return Asked(asked, originals)


async def admit_again(
    repository: SettlementRepository, fresh: Mapping[int, Command], originals: Mapping[int, Settlement]
) -> dict[int, Verdict]:
    """For each request to settle again, that it may be, or why not."""
    again = {place: command for place, command in fresh.items() if command.original is not None}
    if not again:
        return {}
    told = await repository.projections((), {command.order.fixmedins_code for command in again.values()})
    types = {code: facts.fixmedins_type for code, facts in told.institutions.items()}
    return {
        place: _verdict(command, originals.get(place), types.get(command.order.fixmedins_code, InstitutionType.MEDICAL))
        for place, command in again.items()
    }


def _verdict(command: Command, original: Settlement | None, fixmedins_type: InstitutionType) -> Verdict:
    if original is None:
        return SettlementRefusedError(Reason.NOT_FOUND, "there is no settlement to be settled again under that id")
    if original.fixmedins_code != command.order.fixmedins_code:
        return SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "that settlement belongs to another institution")
    if original.state is SettlementState.REVERSED:
        return SettlementRefusedError(Reason.ALREADY_REVERSED, "that settlement is reversed: settle the bill anew")
    if original.state is SettlementState.PENDING:
        return SettlementRefusedError(Reason.IN_PROGRESS, "that settlement is under way; send the same in a moment")
    if original.state is not SettlementState.SETTLED or original.order is None:
        return SettlementRefusedError(Reason.NOT_FOUND, "that msgid took nothing: settle the bill anew")
    refusal = decide_refusal_again(command.order.bill, original.order.bill.psn_no, fixmedins_type)
    return refusal or Admitted(None, original.insutype)
