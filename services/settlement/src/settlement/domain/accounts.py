"""Personal accounts (个人账户): opening, crediting, freezing and releasing, as pure decisions. Amounts are in fen.

Every change of state and every entry raises the account's version by one; the version is the `sequence` of the
account's events, so a consumer sees a gap or a repeat.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import ClassVar, Final

from settlement.domain.ledger import EntryKind, Standing
from settlement.domain.visit import InsuranceStatus, InsuranceType

DEATH_REASON: Final = "the owner has died"
"""The reason on the freeze that follows a death (R14)."""


class AccountState(StrEnum):
    """Where an account stands."""

    OPEN = "OPEN"
    FROZEN = "FROZEN"
    """Gives nothing; contributions and refunds still arrive."""
    CLOSED = "CLOSED"


class AccountChangeKind(StrEnum):
    """What happened to an account besides entries."""

    OPENED = "OPENED"
    FROZEN = "FROZEN"
    UNFROZEN = "UNFROZEN"
    CLOSED = "CLOSED"


class ContributionKind(StrEnum):
    """What a contribution is."""

    CONTRIBUTION = "CONTRIBUTION"
    INTEREST = "INTEREST"


class AccountRefusalError(Exception):
    """An operation on an account that is refused; each kind has its reason in the vocabulary."""

    reason: ClassVar[str]
    metadata: Mapping[str, str]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.metadata = {}


class NotEligibleError(AccountRefusalError):
    """R1: only a living 310 member in normal standing has a personal account."""

    reason = "PAYER_NOT_ELIGIBLE"


class AccountNotFoundError(AccountRefusalError):
    """Nobody has opened that account."""

    reason = "NOT_FOUND"


class AccountClosedError(AccountRefusalError):
    """The account is closed, or was never opened: nothing can come in."""

    reason = "ACCOUNT_CLOSED"


class StateForbidsError(AccountRefusalError):
    """The account's state does not allow this step."""

    reason = "STATE_FORBIDS"


class ContributionReusedError(AccountRefusalError):
    """The contribution_id was used before for another person or amount."""

    reason = "REQUEST_ID_REUSED"


@dataclass(frozen=True, slots=True)
class Account:
    """A personal account as it stands."""

    psn_no: str
    state: AccountState
    balance_fen: int
    """Ledger balance, held amounts included."""
    held_fen: int
    version: int

    @property
    def standing(self) -> Standing:
        """What the ledger posts on."""
        return Standing(self.balance_fen, self.version)

    # These three are written out: `replace` costs three times as much, and each settlement comes through.

    def after(self, standing: Standing) -> "Account":
        """The same account after entries."""
        return Account(self.psn_no, self.state, standing.balance_fen, self.held_fen, standing.version)

    def paying(self, amount_fen: int) -> "Account":
        """The same account with so much less on it."""
        return Account(self.psn_no, self.state, self.balance_fen - amount_fen, self.held_fen, self.version)

    def holding(self, amount_fen: int) -> "Account":
        """The same account with so much more of it held."""
        return Account(self.psn_no, self.state, self.balance_fen, self.held_fen + amount_fen, self.version)


@dataclass(frozen=True, slots=True)
class Instruction:
    """Why something is done to an account, by whose order, and who carries it out."""

    reason: str
    authority: str = ""
    """Such as a court and its number; empty of what the service does by itself."""
    carried_out_by: str = ""
    """The caller, and the person behind the call if there is one; empty of what the service does by itself."""


@dataclass(frozen=True, slots=True)
class AccountChange:
    """A change of an account's state, kept forever with its reason and authority."""

    psn_no: str
    version: int
    """The version it made; an opening has 0, because it is no event."""
    kind: AccountChangeKind
    reason: str
    changed_at: datetime
    authority: str = ""
    changed_by: str = ""

    @classmethod
    def of(cls, account: Account, kind: AccountChangeKind, instruction: Instruction, at: datetime) -> "AccountChange":
        """The change that made this account what it is now."""
        given = (instruction.reason, at, instruction.authority, instruction.carried_out_by)
        return cls(account.psn_no, account.version, kind, *given)


@dataclass(frozen=True, slots=True)
class Contribution:
    """A contribution and the answer that is repeated for its id."""

    contribution_id: str
    psn_no: str
    amount_fen: int
    balance_after_fen: int
    body_hash: bytes
    kind: ContributionKind = ContributionKind.CONTRIBUTION


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One entry as its owner reads it."""

    version: int
    kind: EntryKind
    amount_fen: int
    """Positive came in, negative went out."""
    balance_after_fen: int
    posted_at: datetime
    reference: str
    """The settlement's id, the contribution's, or the payout's."""
    patient_psn_no: str
    """Empty but of settlements and refunds."""
    fixmedins_code: str
    """Empty but of settlements and refunds."""


@dataclass(frozen=True, slots=True)
class Insured:
    """What opening an account asks about a person, in force on the day."""

    insutype: int | None
    psn_insu_stas: int | None
    died_on: date | None


def open_account(psn_no: str, insured: Insured | None) -> Account:
    """A new, empty account (R1).

    Raises:
        NotEligibleError: the person is unknown, has died, or is not a 310 member in normal standing today.
    """
    if insured is None:
        raise NotEligibleError("nothing is known of this person yet; identity tells when the person is registered")
    if insured.died_on is not None:
        raise NotEligibleError("this person has died")
    if (insured.insutype, insured.psn_insu_stas) != (InsuranceType.EMPLOYEE, InsuranceStatus.NORMAL):
        raise NotEligibleError("only a person who is normally insured under 310 today has a personal account")
    return Account(psn_no, AccountState.OPEN, balance_fen=0, held_fen=0, version=0)


def freeze(account: Account, instruction: Instruction, at: datetime) -> tuple[Account, AccountChange | None]:
    """The account frozen, and the change that did it; None when it was frozen before.

    Raises:
        StateForbidsError: it is closed.
    """
    _refuse_closed(account)
    return _to(account, AccountState.FROZEN, AccountChangeKind.FROZEN, instruction, at)


def unfreeze(
    account: Account, instruction: Instruction, at: datetime, died_on: date | None
) -> tuple[Account, AccountChange | None]:
    """The account released, and the change that did it; None when it was open before.

    Raises:
        StateForbidsError: it is closed, or its owner has died (R14).
    """
    _refuse_closed(account)
    if died_on is not None and account.state is AccountState.FROZEN:
        raise StateForbidsError("the owner has died: the account stays frozen until it is closed")
    return _to(account, AccountState.OPEN, AccountChangeKind.UNFROZEN, instruction, at)


def freeze_for_death(account: Account, at: datetime) -> tuple[Account, AccountChange | None]:
    """R14: the account of a person who died is frozen; one that is frozen or closed stays as it is."""
    if account.state is not AccountState.OPEN:
        return account, None
    return freeze(account, Instruction(DEATH_REASON), at)


def check_creditable(account: Account | None) -> Account:
    """The account, if a contribution may come in: it is open or frozen.

    Raises:
        AccountClosedError: it is closed or was never opened.
    """
    if account is None or account.state is AccountState.CLOSED:
        raise AccountClosedError("the account is closed, or was never opened")
    return account


def repeated_answer(known: Contribution, body_hash: bytes) -> int:
    """The balance that this contribution left, in fen, told again.

    Raises:
        ContributionReusedError: the id was used before with another body.
    """
    if known.body_hash != body_hash:
        raise ContributionReusedError("this contribution_id was used before for another person or amount")
    return known.balance_after_fen


def _refuse_closed(account: Account) -> None:
    if account.state is AccountState.CLOSED:
        raise StateForbidsError("the account is closed")


def _to(
    account: Account, state: AccountState, kind: AccountChangeKind, instruction: Instruction, at: datetime
) -> tuple[Account, AccountChange | None]:
    if account.state is state:
        return account, None
    changed = replace(account, state=state, version=account.version + 1)
    return changed, AccountChange.of(changed, kind, instruction, at)
