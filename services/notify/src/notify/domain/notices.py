"""Who is told what (R15): every debit, refund, freeze and application step → payer; approvals and ends → both sides.

An end that is near and a coming of age are told to both sides, too (R4). Here is decided who is told, by which text and
with which facts; the words are in `texts/`, in every language that there is a catalogue of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Final, assert_never

from notify.domain import facts
from notify.domain.codes import Purpose
from notify.domain.kinds import Kind
from notify.domain.wording import trimmed


class Category(Enum):
    """What a message is about."""

    BALANCE = "BALANCE"
    ACCOUNT = "ACCOUNT"
    APPLICATION = "APPLICATION"
    RELATION = "RELATION"


@dataclass(frozen=True, slots=True)
class Money:
    """An amount."""

    fen: int


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody else than the addressee, of whom as much is shown as a family needs to tell who it is."""

    psn_no: str


@dataclass(frozen=True, slots=True)
class Relative:
    """The beneficiary, as the payer says it."""

    pair: facts.Pair


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a relation by window, at least one."""

    by_window: tuple[tuple[facts.Window, int], ...]
    """Amounts in fen."""


Param = (
    str
    | int
    | bool
    | date
    | datetime
    | Money
    | Person
    | Relative
    | Limits
    | facts.Relationship
    | facts.Window
    | facts.EndCause
    | Purpose
    | None
)
"""What a text says, still without words; None and "" for what there is nothing to say of."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What one person is told, before it is put into words."""

    addressee: str
    """psn_no."""
    kind: Kind
    """By which people choose what reaches them."""
    category: Category
    """Under which the inbox shows it."""
    template: str
    """The name of the text."""
    params: Mapping[str, Param]
    """What the text says, by the names of its placeholders."""


@dataclass(frozen=True, slots=True)
class Worded:
    """A notice in the words of its addressee's language."""

    addressee: str
    """psn_no."""
    category: Category
    title: str
    """Names no person and no amount: delivery channels and logs may show it."""
    body: str


_CHANGES: Final = {
    facts.Frozen: "account-frozen",
    facts.Unfrozen: "account-unfrozen",
    facts.Closed: "account-closed",
}


def code_params(purpose: Purpose, code: str, expires_at: datetime) -> dict[str, Param]:
    """What the text of a one-time code says; it is for somebody who waits for it, not a notice."""
    return {"purpose": purpose, "code": code, "until": expires_at}


def notices(fact: facts.Fact) -> tuple[Notice, ...]:
    """The notices about a fact, the payer's first."""
    match fact:
        case facts.Debited():  # nearly all are
            return (_account(fact),)
        case (
            facts.Submitted()
            | facts.Returned()
            | facts.Rejected()
            | facts.Consented()
            | facts.Withdrawn()
            | facts.LapsedDraft()
        ):
            return (_application(fact),)
        case facts.Activated() | facts.Ended() | facts.Expiring() | facts.ComesOfAge():
            return _both_sides(fact)
        case facts.PremiumPaid() | facts.PremiumRefunded():
            return (_premium(fact),)
        case facts.Resumed() | facts.Changed() | facts.Suspended() | facts.LimitNearlyUsed():
            return (_relation(fact),)
        case _:
            return (_account(fact),)


def _account(fact: facts.AccountFact) -> Notice:
    match fact:
        case facts.Debited(movement):
            return _bill("debit", Kind.DEBIT, movement)
        case facts.Refunded(movement):
            return _bill("refund", Kind.REFUND, movement)
        case facts.Credited():
            return _credit(fact)
        case facts.Frozen(change) | facts.Unfrozen(change) | facts.Closed(change):
            return _change(_CHANGES[type(fact)], change)
        case facts.PaidOut():
            return _paid_out(fact)
    assert_never(fact)


def _credit(fact: facts.Credited) -> Notice:
    params: dict[str, Param] = {
        "at": fact.at,
        "amount": Money(fact.amount_fen),
        "balance": Money(fact.balance_after_fen),
        "is_interest": fact.is_interest,
    }
    return Notice(fact.owner, Kind.CREDIT, Category.BALANCE, "credit", params)


def _bill(name: str, kind: Kind, move: facts.Movement) -> Notice:
    """A debit for the owner's own bill has other words than mutual aid (家庭共济)."""
    params: dict[str, Param] = {
        "at": move.at,
        "institution": move.fixmedins_code,
        "amount": Money(move.amount_fen),
        "balance": Money(move.balance_after_fen),
    }
    if move.is_own_bill:
        return Notice(move.owner, kind, Category.BALANCE, f"{name}-own", params)
    params["patient"] = Person(move.patient)
    return Notice(move.owner, kind, Category.BALANCE, f"{name}-family", params)


def _premium(fact: facts.PremiumFact) -> Notice:
    is_paid = isinstance(fact, facts.PremiumPaid)
    premium = fact.premium
    params: dict[str, Param] = {
        "at": premium.at,
        "insured": Person(premium.insured),
        "year": premium.year,
        "amount": Money(premium.amount_fen),
        "balance": Money(premium.balance_after_fen),
    }
    kind, name = (Kind.DEBIT, "premium-paid") if is_paid else (Kind.REFUND, "premium-refunded")
    return Notice(premium.payer, kind, Category.BALANCE, name, params)


def _change(name: str, change: facts.AccountChange) -> Notice:
    params: dict[str, Param] = {
        "at": change.at,
        "balance": Money(change.balance_after_fen),
        "reason": trimmed(change.reason),
    }
    return Notice(change.owner, Kind.ACCOUNT, Category.ACCOUNT, name, params)


def _paid_out(fact: facts.PaidOut) -> Notice:
    params: dict[str, Param] = {
        "at": fact.at,
        "amount": Money(fact.amount_fen),
        "reason": trimmed(fact.reason),
        "to_heirs": fact.to_heirs,
    }
    return Notice(fact.owner, Kind.ACCOUNT, Category.BALANCE, "account-paid-out", params)


def _application(fact: facts.ApplicationFact) -> Notice:
    params: dict[str, Param] = {"beneficiary": Relative(fact.pair), "at": fact.at}
    match fact:
        case facts.Submitted():
            name = "application-submitted"
        case facts.Consented():
            name = "application-consented"
        case facts.Withdrawn():
            name = "application-withdrawn"
        case facts.LapsedDraft():
            name = "application-lapsed"
        case facts.Returned():
            name, params["reason"] = "application-returned", trimmed(fact.reason)
        case facts.Rejected():
            name, params["reason"] = "application-rejected", trimmed(fact.reason)
        case _:
            assert_never(fact)
    return Notice(fact.pair.payer, Kind.APPLICATION, Category.APPLICATION, name, params)


def _both_sides(fact: facts.Activated | facts.Ended | facts.Expiring | facts.ComesOfAge) -> tuple[Notice, ...]:
    match fact:
        case facts.Activated():
            return _pair(fact.pair, "relation-activated", {"at": fact.at} | _terms(fact.terms))
        case facts.Expiring():
            return _pair(fact.pair, "relation-expiring", {"valid_to": fact.valid_to})
        case facts.ComesOfAge():
            return _pair(fact.pair, "comes-of-age", {"on": fact.on})
        case facts.Ended():
            return _ended(fact)


def _ended(fact: facts.Ended) -> tuple[Notice, ...]:
    # The day that counts is told, if there is one, not the moment at which it was recorded: that may be days later.
    params: dict[str, Param] = {"cause": fact.cause, "at": fact.at, "ended_from": fact.ended_from}
    to_payer, to_beneficiary = _pair(fact.pair, "relation-ended", params)
    match fact.cause:  # Nobody writes to the one who died; the family on the other side is told.
        case facts.EndCause.PAYER_DIED:
            return (to_beneficiary,)
        case facts.EndCause.BENEFICIARY_DIED:
            return (to_payer,)
        case _:
            return (to_payer, to_beneficiary)


def _pair(pair: facts.Pair, name: str, params: Mapping[str, Param]) -> tuple[Notice, Notice]:
    to_payer, to_beneficiary = {"beneficiary": Relative(pair), **params}, {"payer": Person(pair.payer), **params}
    return (
        Notice(pair.payer, Kind.RELATION, Category.RELATION, f"{name}-payer", to_payer),
        Notice(pair.beneficiary, Kind.RELATION, Category.RELATION, f"{name}-beneficiary", to_beneficiary),
    )


def _relation(fact: facts.Resumed | facts.Changed | facts.Suspended | facts.LimitNearlyUsed) -> Notice:
    kind = Kind.RELATION
    params: dict[str, Param] = {"beneficiary": Relative(fact.pair), "at": fact.at}
    match fact:
        case facts.Resumed():
            name = "relation-resumed"
        case facts.Changed():
            name, params = "relation-changed", params | _terms(fact.terms) | {"priority": fact.priority}
        case facts.Suspended():
            name, params["reason"] = "relation-suspended", trimmed(fact.reason)
        case facts.LimitNearlyUsed():
            kind, name, params = Kind.LIMIT, "limit-nearly-used", params | _limit(fact)
        case _:
            assert_never(fact)
    return Notice(fact.pair.payer, kind, Category.RELATION, name, params)


def _terms(terms: facts.Terms) -> dict[str, Param]:
    return {"limits": Limits(terms.limits_fen), "valid_from": terms.valid_from, "valid_to": terms.valid_to}


def _limit(fact: facts.LimitNearlyUsed) -> dict[str, Param]:
    # A limit that was lowered below its use has nothing left.
    left = Money(max(0, fact.limit_fen - fact.used_fen))
    return {"window": fact.window, "limit": Money(fact.limit_fen), "used": Money(fact.used_fen), "left": left}
