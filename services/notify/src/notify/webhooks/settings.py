"""The settings of webhooks."""

from datetime import timedelta

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from kit.config import DatabaseSettings, ReadableFile
from notify.domain.webhook_address import Reach, parse_networks, parse_ports


class WebhookSettings(DatabaseSettings):
    """What sending to webhooks needs; all of it has a default that is right where receivers are public."""

    webhook_networks: str = Field(
        default="",
        description="Networks that webhooks may reach although they are not public, separated by commas.",
        examples=["10.20.0.0/16,fd00:1::/32"],
    )
    webhook_ports: str = Field(
        default="443", description="Ports that webhooks may reach, separated by commas.", examples=["443,8000-8999"]
    )
    webhook_http: bool = Field(
        default=False, description="Whether webhooks may go over plain HTTP; not in production.", examples=["false"]
    )
    webhook_ca_file: ReadableFile | None = Field(
        default=None,
        description="CAs that receivers' certificates may come from besides the usual ones, PEM.",
        examples=["tls/region-ca.crt"],
    )
    webhook_timeout_seconds: float = Field(
        default=15.0, ge=1.0, le=60.0, description="How long a receiver may take for its answer.", examples=["15"]
    )
    webhook_concurrency: int = Field(
        default=32, ge=1, le=1_000, description="Requests to receivers at once, of a process.", examples=["32"]
    )
    webhook_concurrency_each: int = Field(
        default=4, ge=1, le=100, description="Requests to one receiver at once, of all processes.", examples=["4"]
    )
    webhook_concurrency_owner: int = Field(
        default=8,
        ge=1,
        le=1_000,
        description="Requests to all receivers of one owner at once; well below what a process sends at once.",
        examples=["8"],
    )
    webhooks_of_owner_max: int = Field(
        default=10, ge=1, le=1_000, description="Webhooks that one owner may have.", examples=["10"]
    )
    webhook_secret_overlap_hours: int = Field(
        default=24, ge=1, le=720, description="How long the secret before is signed with, too.", examples=["24"]
    )
    webhook_keep_days: int = Field(
        default=30, ge=2, le=366, description="How long events can be replayed and attempts seen.", examples=["30"]
    )

    @field_validator("webhook_networks")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        try:
            parse_networks(value)
        except ValueError:
            raise _refuse("must be networks such as 10.20.0.0/16, separated by commas") from None
        return value

    @field_validator("webhook_ports")
    @classmethod
    def _are_ports(cls, value: str) -> str:
        try:
            parse_ports(value)
        except ValueError:
            raise _refuse("must be ports or ranges of them such as 443,8000-8999") from None
        return value

    @field_validator("webhook_http")
    @classmethod
    def _https_in_production(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's way
        if value and info.data.get("environment") == "production":
            raise _refuse("must not be set in production: events go out encrypted")
        return value

    @property
    def webhook_reach(self) -> Reach:
        """Where webhooks may lead."""
        return Reach(parse_ports(self.webhook_ports), parse_networks(self.webhook_networks), self.webhook_http)

    @property
    def webhook_secret_overlap(self) -> timedelta:
        """How long the secret before is signed with, too."""
        return timedelta(hours=self.webhook_secret_overlap_hours)

    @property
    def webhook_keep(self) -> timedelta:
        """How long events can be replayed and attempts seen."""
        return timedelta(days=self.webhook_keep_days)


def _refuse(what: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{what}", {"what": what})
