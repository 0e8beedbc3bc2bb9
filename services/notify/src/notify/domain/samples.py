"""One of everything that people are told, to render every text and every turn that it can take."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import product
from typing import Final

from notify.domain import facts
from notify.domain.codes import Purpose
from notify.domain.notices import Notice, Param, code_params, notices

_FATHER, _CHILD, _HOSPITAL = "65270100000000001985", "65270100000000002015", "H65270100001"
_AT: Final = datetime(2025, 6, 10, 2, 5, tzinfo=UTC)
_LAST_DAY, _NEXT_YEAR = date(2026, 12, 31), date(2027, 1, 1)
_PAIR: Final = facts.Pair(_FATHER, _CHILD, facts.Relationship.CHILD)
_TERMS: Final = facts.Terms(
    tuple((window, 20_000 * place) for place, window in enumerate(facts.Window, 1)), date(2025, 1, 5), _LAST_DAY
)
_MOVES: Final[tuple[type[facts.Debited | facts.Refunded], ...]] = (facts.Debited, facts.Refunded)
_CHANGES: Final[tuple[type[facts.Frozen | facts.Unfrozen | facts.Closed], ...]] = (
    facts.Frozen,
    facts.Unfrozen,
    facts.Closed,
)
_STEPS: Final[tuple[type[facts.Submitted | facts.Consented | facts.Withdrawn | facts.LapsedDraft], ...]] = (
    facts.Submitted,
    facts.Consented,
    facts.Withdrawn,
    facts.LapsedDraft,
)
_REFUSALS: Final[tuple[type[facts.Returned | facts.Rejected], ...]] = (facts.Returned, facts.Rejected)
_REASONS: Final = ("证明材料不齐全（缺户口本首页）", "")


def samples() -> tuple[facts.Fact, ...]:
    """Facts that bring out every text in each of its turns, and every word that stands for a value."""
    return (*_account(), *_applications(), *_relations())


def sampled_notices() -> tuple[Notice, ...]:
    """The notices about them."""
    return tuple(notice for fact in samples() for notice in notices(fact))


def sampled_codes() -> tuple[Mapping[str, Param], ...]:
    """What a one-time code's text says, for each purpose."""
    return tuple(code_params(purpose, "012345", _AT) for purpose in Purpose)


def _account() -> list[facts.Fact]:
    moves = [facts.Movement(_FATHER, patient, _HOSPITAL, 9_000, 123_456, _AT) for patient in (_CHILD, _FATHER)]
    premium = facts.Premium(_FATHER, _CHILD, 2026, 40_000, 123_456, _AT)
    changes = [facts.AccountChange(_FATHER, 41_000, _AT, reason) for reason in _REASONS]
    return [
        *(kind(move) for kind, move in product(_MOVES, moves)),
        *(facts.PremiumPaid(premium), facts.PremiumRefunded(premium)),
        *(facts.Credited(_FATHER, 50_000, 123_456, _AT, is_interest=it) for it in (False, True)),
        *(kind(change) for kind, change in product(_CHANGES, changes)),
        *(facts.PaidOut(_FATHER, 41_000, _AT, reason, to_heirs=it) for reason, it in product(_REASONS, (False, True))),
    ]


def _applications() -> list[facts.Fact]:
    return [
        *(step(_PAIR, _AT) for step in _STEPS),
        *(end(_PAIR, _AT, reason) for end, reason in product(_REFUSALS, _REASONS)),
    ]


def _relations() -> list[facts.Fact]:
    relatives = [facts.Pair(_FATHER, _CHILD, relationship) for relationship in facts.Relationship]
    return [
        facts.Activated(_PAIR, _TERMS, _AT),
        *(facts.Resumed(pair, _AT) for pair in relatives),
        facts.Changed(_PAIR, _TERMS, 2, _AT),
        *(facts.Suspended(_PAIR, _AT, reason) for reason in _REASONS),
        *(facts.Ended(_PAIR, _AT, cause, day) for cause, day in product(facts.EndCause, (_NEXT_YEAR, None))),
        *(facts.Expiring(_PAIR, _LAST_DAY), facts.ComesOfAge(_PAIR, date(2026, 3, 1))),
        *(facts.LimitNearlyUsed(_PAIR, window, 85_000, 100_000, _AT) for window in facts.Window),
    ]
