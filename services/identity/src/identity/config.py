"""What identity reads from the environment, beyond what every service does."""

from datetime import timedelta

from pydantic import Field

from identity.registration_settings import RegistrationSettings
from kit.config import DatabaseSettings, ReadableFile

_LONGEST_CREDENTIAL_SECONDS = 24 * 60 * 60


class Settings(RegistrationSettings):
    """Settings of the identity service."""

    keyring_file: ReadableFile = Field(
        description="The keys that encrypt personal data, JSON.", examples=["keyring.json"]
    )
    credential_keyring_file: ReadableFile = Field(
        description="The keys that sign visit credentials, JSON.", examples=["credential-keyring.json"]
    )
    credential_lifetime_seconds: int = Field(
        default=15 * 60,
        ge=60,
        le=_LONGEST_CREDENTIAL_SECONDS,
        description="How long a visit credential can be settled with.",
        examples=["900"],
    )
    home_region_prefix: str = Field(
        default="65",
        pattern=r"^[1-9][0-9]{1,5}$",
        description="How the codes of regions begin where care needs no filing (R3, R8).",
        examples=["65"],
    )

    @property
    def credential_lifetime(self) -> timedelta:
        """How long a visit credential lives."""
        return timedelta(seconds=self.credential_lifetime_seconds)


class ImportSettings(DatabaseSettings):
    """Settings of `identity import`, which speaks to the database alone."""

    keyring_file: ReadableFile = Field(
        description="The keys that encrypt personal data, JSON.", examples=["keyring.json"]
    )
