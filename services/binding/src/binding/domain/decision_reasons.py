"""The catalogue of reasons to reject or return (退回、不予通过理由), in words that a family understands.

A text says what is wrong and names nobody; what is particular to one application the clerk adds in words of their own.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from binding.domain.applications import Step


class DecisionReason(StrEnum):
    """Why an application is rejected or returned."""

    PROOF_UNREADABLE = "PROOF_UNREADABLE"
    PROOF_INCOMPLETE = "PROOF_INCOMPLETE"
    PROOF_WRONG_KIND = "PROOF_WRONG_KIND"
    PROOF_MISMATCH = "PROOF_MISMATCH"
    PROOF_OUTDATED = "PROOF_OUTDATED"
    LIMITS_IN_DOUBT = "LIMITS_IN_DOUBT"
    VALIDITY_IN_DOUBT = "VALIDITY_IN_DOUBT"
    PLEDGE_OUTDATED = "PLEDGE_OUTDATED"
    CONSENT_IN_DOUBT = "CONSENT_IN_DOUBT"
    RELATIONSHIP_UNPROVEN = "RELATIONSHIP_UNPROVEN"
    RELATIONSHIP_NOT_COVERED = "RELATIONSHIP_NOT_COVERED"
    PAYER_UNQUALIFIED = "PAYER_UNQUALIFIED"
    BENEFICIARY_UNQUALIFIED = "BENEFICIARY_UNQUALIFIED"
    PROOF_NOT_GENUINE = "PROOF_NOT_GENUINE"
    DUPLICATE = "DUPLICATE"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Entry:
    """One reason of the catalogue."""

    text: str
    """What the family reads."""
    decisions: frozenset[Step]
    """What it is a reason for."""
    needs_words: bool = False
    """Whether it says nothing without the clerk's own words."""


_RETURN, _REJECT = frozenset({Step.RETURN}), frozenset({Step.REJECT})
_EITHER = _RETURN | _REJECT

CATALOGUE: Final[Mapping[DecisionReason, Entry]] = {
    DecisionReason.PROOF_UNREADABLE: Entry("证明材料不清晰，无法辨认", _RETURN),
    DecisionReason.PROOF_INCOMPLETE: Entry("证明材料不齐全", _RETURN),
    DecisionReason.PROOF_WRONG_KIND: Entry("证明材料的类型与所申请的亲属关系不符", _RETURN),
    DecisionReason.PROOF_MISMATCH: Entry("证明材料与申请信息不一致", _EITHER),
    DecisionReason.PROOF_OUTDATED: Entry("证明材料已失效", _RETURN),
    DecisionReason.LIMITS_IN_DOUBT: Entry("共济限额需要确认或更正", _RETURN),
    DecisionReason.VALIDITY_IN_DOUBT: Entry("共济有效期需要确认或更正", _RETURN),
    DecisionReason.PLEDGE_OUTDATED: Entry("承诺书版本已更新，需要重新签署", _RETURN),
    DecisionReason.CONSENT_IN_DOUBT: Entry("使用人的同意需要核实", _EITHER),
    DecisionReason.RELATIONSHIP_UNPROVEN: Entry("证明材料不能证明所申请的亲属关系", _EITHER),
    DecisionReason.RELATIONSHIP_NOT_COVERED: Entry("所申请的亲属关系不在家庭共济范围内", _REJECT),
    DecisionReason.PAYER_UNQUALIFIED: Entry("授权人不符合家庭共济的参保条件", _REJECT),
    DecisionReason.BENEFICIARY_UNQUALIFIED: Entry("使用人不符合家庭共济的参保条件", _REJECT),
    DecisionReason.PROOF_NOT_GENUINE: Entry("证明材料未通过真实性核验", _REJECT),
    DecisionReason.DUPLICATE: Entry("与已有的共济申请或共济关系重复", _REJECT),
    DecisionReason.OTHER: Entry("其他原因", _EITHER, needs_words=True),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a decider says: a decision, its reason from the catalogue, and words of their own."""

    decision: Step
    reason: DecisionReason | None = None
    """None to approve."""
    words: str = ""

    @property
    def text(self) -> str:
        """What the catalogue says to the family; empty to approve."""
        return CATALOGUE[self.reason].text if self.reason else ""

    @property
    def told(self) -> str:
        """The reason in one line: the catalogue's text with the clerk's words; either alone, or nothing."""
        return f"{self.text}（{self.words}）" if self.text and self.words else self.text or self.words


def flaw_in(verdict: Verdict) -> tuple[str, str] | None:
    """The field that keeps a verdict from being one (`reason_code` or `reason`) and what is wrong with it, or None."""
    if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in verdict.words):
        return "reason", "has control characters"
    if verdict.decision is Step.APPROVE:
        return ("reason_code", "is not there to approve") if verdict.reason else None
    if verdict.reason is None:
        return "reason_code", "is required to reject or return"
    entry = CATALOGUE[verdict.reason]
    if verdict.decision not in entry.decisions:
        return "reason_code", f"{verdict.reason} is no reason to {verdict.decision.lower()}"
    if entry.needs_words and not verdict.words.strip():
        return "reason", f"is required with {verdict.reason}"
    return None
