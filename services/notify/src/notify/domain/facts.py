"""What happened, as far as people are told of it (R15). Amounts in fen, times aware, people by their psn_no."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum


class Relationship(Enum):
    """What the beneficiary is to the payer; the value is how a family says it."""

    SPOUSE = "配偶"
    PARENT = "父母"
    CHILD = "子女"
    SIBLING = "兄弟姐妹"
    GRANDPARENT = "祖父母或外祖父母"
    GRANDCHILD = "孙子女或外孙子女"
    OTHER = "家人"


class Window(Enum):
    """A window of a limit (R6); the value is how a family says it."""

    SETTLEMENT = "每次就医"
    DAY = "每日"
    MONTH = "每月"
    YEAR = "每年"
    TOTAL = "累计"


class EndCause(Enum):
    """Why a relation ended; the value is how a family says it."""

    UNBOUND = "已由一方解除"
    EXPIRED = "因有效期届满而终止"
    PAYER_DIED = "因授权人离世而终止"
    BENEFICIARY_DIED = "因使用人离世而终止"
    PAYER_ENROLMENT_LOST = "因授权人的职工医保参保状态或参保地变化而终止"
    BENEFICIARY_ENROLMENT_LOST = "因使用人的参保状态或参保地变化而终止"
    OTHER = "已终止"


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that left or came back to an account because of a bill."""

    owner: str
    patient: str
    fixmedins_code: str
    amount_fen: int
    balance_after_fen: int
    at: datetime

    @property
    def is_own_bill(self) -> bool:
        """Whether the account's owner was the patient, so that nobody else was helped."""
        return self.patient == self.owner


@dataclass(frozen=True, slots=True)
class Premium:
    """Money that left or came back to a payer's account because of a relative's resident premium."""

    payer: str
    insured: str
    year: int
    """That it insures."""
    amount_fen: int
    balance_after_fen: int
    at: datetime


@dataclass(frozen=True, slots=True)
class PremiumPaid:
    """A premium took money."""

    premium: Premium


@dataclass(frozen=True, slots=True)
class PremiumRefunded:
    """A premium was given back before its year."""

    premium: Premium


@dataclass(frozen=True, slots=True)
class Debited:
    """A settlement took money."""

    movement: Movement


@dataclass(frozen=True, slots=True)
class Refunded:
    """A reversal gave money back."""

    movement: Movement


@dataclass(frozen=True, slots=True)
class Credited:
    """A contribution or interest came in."""

    owner: str
    amount_fen: int
    balance_after_fen: int
    at: datetime
    is_interest: bool = False


@dataclass(frozen=True, slots=True)
class AccountChange:
    """The account's state changed."""

    owner: str
    balance_after_fen: int
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Frozen:
    """The account was frozen."""

    change: AccountChange


@dataclass(frozen=True, slots=True)
class Unfrozen:
    """The account was released."""

    change: AccountChange


@dataclass(frozen=True, slots=True)
class Closed:
    """The account was closed."""

    change: AccountChange


@dataclass(frozen=True, slots=True)
class PaidOut:
    """Money left an account that is closed: its balance, or a refund that came afterwards."""

    owner: str
    amount_fen: int
    at: datetime
    reason: str
    to_heirs: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """Payer (授权人) and beneficiary (使用人)."""

    payer: str
    beneficiary: str
    relationship: Relationship


@dataclass(frozen=True, slots=True)
class Submitted:
    """An application was handed in."""

    pair: Pair
    at: datetime


@dataclass(frozen=True, slots=True)
class Consented:
    """The adult beneficiary consented to an application."""

    pair: Pair
    at: datetime


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """An application was taken back."""

    pair: Pair
    at: datetime


@dataclass(frozen=True, slots=True)
class LapsedDraft:
    """An application was not handed in within its time."""

    pair: Pair
    at: datetime


@dataclass(frozen=True, slots=True)
class Returned:
    """An application was returned for correction."""

    pair: Pair
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """An application was rejected."""

    pair: Pair
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a relation holds."""

    limits_fen: tuple[tuple[Window, int], ...]
    """The limits that there are, by window, in the order of R6."""
    valid_from: date
    valid_to: date
    """Included."""


@dataclass(frozen=True, slots=True)
class Activated:
    """A relation took effect after its approval."""

    pair: Pair
    terms: Terms
    at: datetime


@dataclass(frozen=True, slots=True)
class Resumed:
    """A suspended relation is in force again."""

    pair: Pair
    at: datetime


@dataclass(frozen=True, slots=True)
class Changed:
    """Limits, dates or priority of a relation changed."""

    pair: Pair
    terms: Terms
    priority: int
    """The payer's place among the beneficiary's payers, 1 pays first."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Suspended:
    """A relation was suspended."""

    pair: Pair
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A relation ended."""

    pair: Pair
    at: datetime
    cause: EndCause
    ended_from: date | None = None
    """The first day without it; None where it ended at once."""


@dataclass(frozen=True, slots=True)
class Expiring:
    """A relation will run out by date soon."""

    pair: Pair
    valid_to: date
    """The last day."""


@dataclass(frozen=True, slots=True)
class ComesOfAge:
    """A minor beneficiary will soon be of age (R4)."""

    pair: Pair
    on: date
    """The first day of full age."""


@dataclass(frozen=True, slots=True)
class LimitNearlyUsed:
    """A window of a limit is used to a large part."""

    pair: Pair
    window: Window
    used_fen: int
    limit_fen: int
    at: datetime


PremiumFact = PremiumPaid | PremiumRefunded
AccountFact = Debited | Refunded | Credited | Frozen | Unfrozen | Closed | PaidOut
ApplicationFact = Submitted | Consented | Withdrawn | LapsedDraft | Returned | Rejected
RelationFact = Activated | Resumed | Changed | Suspended | Ended | Expiring | ComesOfAge | LimitNearlyUsed
Fact = AccountFact | PremiumFact | ApplicationFact | RelationFact
