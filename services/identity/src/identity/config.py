"""What identity reads from the environment, beyond what every service does."""

from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import Field

from identity.domain.visit import CredentialLifetimes
from identity.registration_settings import RegistrationSettings
from kit.config import DatabaseSettings, KeyRingFile, SigningKeysFile

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_DAY_SECONDS = 24 * 60 * 60
_LONGEST_CREDENTIAL_SECONDS = _DAY_SECONDS
_LONGEST_INPATIENT_CREDENTIAL_SECONDS = 30 * _DAY_SECONDS


class Settings(RegistrationSettings):
    """Settings of the identity service."""

    keyring_file: KeyRingFile = Field(
        description="The keys that encrypt personal data, JSON.", examples=["keyring.json"]
    )
    credential_keyring_file: SigningKeysFile = Field(
        description="The keys that sign visit credentials, JSON.", examples=["credential-keyring.json"]
    )
    credential_lifetime_seconds: int = Field(
        default=15 * 60,
        ge=60,
        le=_LONGEST_CREDENTIAL_SECONDS,
        description="How long a visit credential can be settled with.",
        examples=["900"],
    )
    inpatient_credential_lifetime_seconds: int = Field(
        default=14 * _DAY_SECONDS,
        ge=60,
        le=_LONGEST_INPATIENT_CREDENTIAL_SECONDS,
        description="How long the visit credential of an inpatient can be settled with.",
        examples=["1209600"],
    )
    home_region_prefix: str = Field(
        default="65",
        pattern=r"^[1-9][0-9]{1,5}$",
        description="How the codes of regions begin where care needs no filing (R3, R8).",
        examples=["65"],
    )

    @property
    def credential_lifetimes(self) -> CredentialLifetimes:
        """How long visit credentials live."""
        return CredentialLifetimes(
            visit=timedelta(seconds=self.credential_lifetime_seconds),
            inpatient=timedelta(seconds=self.inpatient_credential_lifetime_seconds),
        )


class ImportSettings(DatabaseSettings):
    """Settings of `identity import`, which speaks to the database alone."""

    keyring_file: KeyRingFile = Field(
        description="The keys that encrypt personal data, JSON.", examples=["keyring.json"]
    )
