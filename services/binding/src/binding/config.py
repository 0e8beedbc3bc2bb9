"""Settings of binding, beside those of every service."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field

from binding.domain.applications import ProofKind
from binding.domain.eligibility import PROOFS_OF, Policy
from binding.domain.losses import LossRules
from binding.domain.nearly_used import NEARLY_USED_PERCENT
from binding.domain.notices import NoticeRules
from binding.domain.relations import Relationship
from kit.config import ConsumerSettings, KeyRingFile, ReadableFile, ServiceSettings
from kit.failpoints import FailpointSettings

MIGRATIONS = Path(__file__).parent / "migrations"


class ReplaySettings(ConsumerSettings):
    """What handling events needs."""

    limit_nearly_used_percent: int = Field(
        default=NEARLY_USED_PERCENT,
        ge=1,
        le=100,
        description="From this share of a limit on its payer is told, percent.",
        examples=["80"],
    )
    account_region_prefix: str = Field(
        default="6527",
        pattern=r"^[1-9][0-9]{1,5}$",
        description="The region of payers' accounts, its first digits (R1).",
        examples=["6527"],
    )
    insured_region_prefix: str = Field(
        default="65",
        pattern=r"^[1-9][0-9]{1,5}$",
        description="Where beneficiaries are insured, its first digits (R3).",
        examples=["65"],
    )
    generation_years: int = Field(
        default=12, ge=0, le=30, description="A parent is at least so many years older than the child.", examples=["12"]
    )
    enrolment_loss_ends: bool = Field(
        default=True, description="Whether the loss of an enrolment ends relations (R1, R3).", examples=["true"]
    )
    enrolment_ended_statuses: str = Field(
        default="4",
        pattern=r"^[0234](,[0234])*$",
        description="The psn_insu_stas, with commas between, that end an enrolment for good.",
        examples=["4"],
    )

    @property
    def losses(self) -> LossRules:
        """What ends a relation with the enrolment of a party."""
        statuses = frozenset(int(status) for status in self.enrolment_ended_statuses.split(","))
        return LossRules(self.enrolment_loss_ends, self.account_region_prefix, self.insured_region_prefix, statuses)


class Settings(FailpointSettings, ReplaySettings, ServiceSettings):
    """What binding needs to serve."""

    keyring_file: KeyRingFile = Field(description="The keys that encrypt proofs, JSON.", examples=["keyring.json"])
    adult_age_years: int = Field(
        default=18, ge=14, le=25, description="From this age on a beneficiary consents (R4).", examples=["18"]
    )

    wider_kin: bool = Field(
        default=False, description="Whether siblings, grandparents and grandchildren are allowed (R2).", examples=["no"]
    )
    proof_kinds: dict[Relationship, Annotated[frozenset[ProofKind], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Kinds of proof of which one shows a relationship, JSON; what is not named keeps the default.",
        examples=['{"SPOUSE": ["MARRIAGE_CERTIFICATE"]}'],
    )
    max_relations_of_payer: int = Field(
        default=10, ge=1, le=100, description="Most living relations of one payer.", examples=["10"]
    )
    max_relations_of_beneficiary: int = Field(
        default=10, ge=1, le=99, description="Most living relations of one beneficiary.", examples=["10"]
    )
    draft_life_days: int = Field(
        default=30, ge=1, le=365, description="Days after which a draft or returned application ends.", examples=["30"]
    )
    pledge_version: str = Field(
        default="2025.1",
        pattern=r"^[0-9A-Za-z._-]{1,32}$",
        description="The version of the pledge that is in force.",
        examples=["2025.1"],
    )

    review_working_days: int = Field(
        default=5, ge=1, le=60, description="Working days to decide an application in.", examples=["5"]
    )
    claim_lease_minutes: int = Field(
        default=30, ge=1, le=1440, description="How long a handler's claim holds, in minutes.", examples=["30"]
    )
    working_days_file: ReadableFile | None = Field(
        default=None,
        description="The region's own days off and days worked, JSON; and years the library does not know yet.",
        examples=["working-days.json"],
    )
    extension_days_max: int = Field(
        default=1827, ge=1, le=36_525, description="How far away an extended last day may be.", examples=["1827"]
    )
    notice_days: int = Field(
        default=30,
        ge=1,
        le=365,
        description="How long before an expiry or a coming of age people are told.",
        examples=["30"],
    )
    jobs_every_seconds: float = Field(
        default=60.0, ge=0.1, le=86_400, description="Pause between two runs of a scheduled job.", examples=["60"]
    )

    @property
    def claim_lease(self) -> timedelta:
        """How long a handler's claim holds."""
        return timedelta(minutes=self.claim_lease_minutes)

    @property
    def notices(self) -> NoticeRules:
        """How long ahead people are told."""
        return NoticeRules(timedelta(days=self.notice_days), self.adult_age_years)

    @property
    def policy(self) -> Policy:
        """The region's rules."""
        return Policy(
            account_region_prefix=self.account_region_prefix,
            insured_region_prefix=self.insured_region_prefix,
            adult_age_years=self.adult_age_years,
            proofs_of={**PROOFS_OF, **self.proof_kinds},
            wider_kin=self.wider_kin,
            generation_years=self.generation_years,
            max_relations_of_payer=self.max_relations_of_payer,
            max_relations_of_beneficiary=self.max_relations_of_beneficiary,
            draft_life=timedelta(days=self.draft_life_days),
        )
