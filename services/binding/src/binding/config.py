"""Settings of binding, beside those of every service."""

from datetime import timedelta

from pydantic import Field

from binding.domain.eligibility import Policy
from binding.domain.nearly_used import NEARLY_USED_PERCENT
from kit.config import ReadableFile, ServiceSettings


class Settings(ServiceSettings):
    """What binding needs to serve."""

    keyring_file: ReadableFile = Field(description="The keys that encrypt proofs, JSON.", examples=["keyring.json"])
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
    adult_age_years: int = Field(
        default=18, ge=14, le=25, description="From this age on a beneficiary consents (R4).", examples=["18"]
    )

    limit_nearly_used_percent: int = Field(
        default=NEARLY_USED_PERCENT,
        ge=1,
        le=100,
        description="From this share of a limit on its payer is told, percent.",
        examples=["80"],
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

    @property
    def claim_lease(self) -> timedelta:
        """How long a handler's claim holds."""
        return timedelta(minutes=self.claim_lease_minutes)

    @property
    def policy(self) -> Policy:
        """The region's rules."""
        return Policy(self.account_region_prefix, self.insured_region_prefix, self.adult_age_years)
