"""Settings of settlement, beside those of every service."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from kit.config import KeyRingFile, ServiceSettings, SigningKeysFile
from kit.failpoints import FailpointSettings
from settlement.books_config import ReconcileSettings, SealSettings, SweepSettings
from settlement.domain.allocate import PaymentOrder

MIGRATIONS = Path(__file__).parent / "migrations"


def _known_codes(value: str) -> str:
    if not re.fullmatch(r"([A-Z][0-9]{11}(,[A-Z][0-9]{11})*)?", value):
        raise PydanticCustomError("refused", "{what}", {"what": "must be fixmedins_codes, separated by commas"})
    return value


class Settings(FailpointSettings, ReconcileSettings, SealSettings, SweepSettings, ServiceSettings):
    """What settlement needs to serve."""

    database_pool_size: int = Field(
        default=16,
        ge=1,
        le=200,
        description="Connections this process holds at most; above all that is in flight together.",
        examples=["16"],
    )
    keyring_file: KeyRingFile = Field(
        description="The keys that encrypt what answered requests were answered with, JSON.", examples=["keyring.json"]
    )
    credential_keyring_file: SigningKeysFile = Field(
        description="The keys of visit credentials, JSON; the ring that identity signs with.",
        examples=["credential-keyring.json"],
    )
    payment_order: PaymentOrder = Field(
        default=PaymentOrder.OWN_ACCOUNT_FIRST,
        description="Which pays first, the patient's own account or mutual aid (R9).",
        examples=["own_account_first"],
    )
    home_region_prefix: str = Field(
        default="65",
        pattern=r"^[1-9][0-9]{1,5}$",
        description="Where care needs no filing, the regions' first digits (R8).",
        examples=["65"],
    )
    quote_minutes: float = Field(
        default=10.0, ge=1, le=60, description="How long a preview that holds keeps its amounts.", examples=["10"]
    )
    batch_max: int = Field(default=200, ge=1, le=500, description="Requests in one batch at most.", examples=["200"])
    batch_waiting_max: int = Field(
        default=2000, ge=1, le=100_000, description="Requests that wait for a batch at most.", examples=["2000"]
    )
    batches_in_flight: int = Field(
        default=2, ge=1, le=16, description="Batches of single requests that are settled at a time.", examples=["2"]
    )
    batch_crowd: int = Field(
        default=32,
        ge=1,
        le=500,
        description="Single requests that have to wait at least for a batch to begin beside another one.",
        examples=["32"],
    )
    sandbox_institutions: Annotated[str, AfterValidator(_known_codes)] = Field(
        default="",
        description="fixmedins_codes, by commas, whose amounts order failures; see domain/sandbox.py.",
        examples=["H65279900001"],
    )
    bulk_in_flight: int = Field(
        default=3, ge=1, le=16, description="Lists of bulk requests that are settled at a time.", examples=["3"]
    )
    bulk_waiting_max: int = Field(
        default=5000, ge=500, le=100_000, description="Bulk requests that wait at most.", examples=["5000"]
    )

    @field_validator("sandbox_institutions")
    @classmethod
    def _no_sandbox_in_production(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("environment") not in {"local", "test", "sandbox"}:
            raise PydanticCustomError("refused", "{what}", {"what": "must be empty in production"})
        return value

    @property
    def sandbox(self) -> frozenset[str]:
        """The institutions whose amounts order failures."""
        return frozenset(filter(None, self.sandbox_institutions.split(",")))
