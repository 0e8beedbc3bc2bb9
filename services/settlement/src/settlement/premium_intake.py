"""Premiums at the intake: what is asked for now, and whether it may be paid."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from settlement.commands import Command
from settlement.domain.premiums import Terms, decide_premium_refusal, priced
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.state import Order, Premium
from settlement.domain.visit import InsuranceType, PersonFacts
from settlement.premium_repository import InsuredYear
from settlement.repository import SettlementRepository
from settlement.visits import Admitted

Verdict = Admitted | SettlementRefusedError

_WHY: Final[Mapping[Reason, str]] = {
    Reason.DECEASED: "the insured has died",
    Reason.NOT_INSURED: "the insured is not normally insured under 390 today",
    Reason.PREMIUM_ALREADY_PAID: "the premium of this person and year is paid",
    Reason.PREMIUM_CLOSED: "the premium of this year is not collected today",
    Reason.AMOUNT_CHANGED: "the premium is not what was expected: show the payer what it is now",
}


@dataclass(frozen=True, slots=True)
class Priced:
    """A batch in which premiums say what they come to."""

    commands: Mapping[int, Command]
    terms: Mapping[int, Terms]
    """By year."""
    paid: AbstractSet[InsuredYear]


async def paid_premiums(repository: SettlementRepository, commands: Iterable[Command]) -> AbstractSet[InsuredYear]:
    """Those of these premiums that are paid. Asked before what a payment_id is known by, never after.

    The other way round a request that is sent twice at once would hear of its own payment that somebody has paid.
    """
    asked = {_key(command.order, command.order.premium) for command in commands if command.order.premium}
    return await repository.premiums.paid(asked) if asked else frozenset()


async def price_premiums(
    repository: SettlementRepository, fresh: Mapping[int, Command], paid: AbstractSet[InsuredYear]
) -> Priced:
    """The commands by place; a premium that nobody has stated comes to nothing, and is refused."""
    years = {command.order.premium.year for command in fresh.values() if command.order.premium}
    if not years:
        return Priced(fresh, {}, paid)
    terms = await repository.premiums.terms(years)
    return Priced({place: _priced(command, terms) for place, command in fresh.items()}, terms, paid)


def _priced(command: Command, terms: Mapping[int, Terms]) -> Command:
    stated = terms.get(command.order.premium.year) if command.order.premium else None
    return replace(command, order=priced(command.order, stated)) if stated else command


async def admit_premiums(repository: SettlementRepository, priced: Priced, now: datetime) -> dict[int, Verdict]:
    """For each request of the batch to pay a premium, that it may be, or why not."""
    orders = {place: command.order for place, command in priced.commands.items() if command.order.premium}
    if not orders:
        return {}
    told = await repository.projections({order.bill.psn_no for order in orders.values()}, ())
    return {place: _verdict(order, told.persons.get(order.bill.psn_no), priced, now) for place, order in orders.items()}


def _verdict(order: Order, insured: PersonFacts | None, priced: Priced, now: datetime) -> Verdict:
    terms = priced.terms.get(order.premium.year) if order.premium else None
    reason = decide_premium_refusal(order, insured, terms, now, is_paid=is_paid(order, priced.paid))
    return SettlementRefusedError(reason, _WHY[reason]) if reason else _ADMITTED


_ADMITTED: Final = Admitted(jti=None, insutype=InsuranceType.RESIDENT)


def is_paid(order: Order, paid: AbstractSet[InsuredYear]) -> bool:
    """Whether it pays a premium that is among these, which are paid."""
    return order.premium is not None and _key(order, order.premium) in paid


def already_paid() -> SettlementRefusedError:
    """What a request is told whose premium somebody has paid."""
    return SettlementRefusedError(Reason.PREMIUM_ALREADY_PAID, _WHY[Reason.PREMIUM_ALREADY_PAID])


def _key(order: Order, premium: Premium) -> InsuredYear:
    return order.bill.psn_no, premium.year
