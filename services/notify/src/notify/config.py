"""The settings of notify."""

import os
from datetime import timedelta
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from kit.config import Address, ConsumerSettings, KeyRingFile, ReadableFile, ServiceSettings, SigningKeysFile
from kit.topics import catalogue
from notify.channels.settings import ChannelsUnusable, Gateway, read_channels
from notify.domain.contacts import CodeBounds
from notify.subscriber import TOPICS
from notify.webhooks.settings import WebhookSettings


def _refused(what: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{what}", {"what": what})


class ReplaySettings(WebhookSettings, ConsumerSettings):
    """What handling events needs: a key ring, for messages are encrypted at rest, and one to open codes with."""

    keyring_file: KeyRingFile = Field(
        description="The keys that encrypt personal data, JSON.", examples=["keyring.json"]
    )
    code_keyring_file: KeyRingFile = Field(
        description="The keys that identity seals one-time codes with, JSON.", examples=["code-keyring.json"]
    )
    sms_directory: Path | None = Field(
        default=None,
        description="A folder for messages of channels without an adapter, in clear; for developers and tests only.",
        examples=["sms"],
    )
    channels_file: ReadableFile | None = Field(
        default=None, description="Which adapter and policy each channel has, JSON.", examples=["channels.json"]
    )
    gateway_keyring_file: SigningKeysFile | None = Field(
        default=None,
        description="The keys that requests to gateways and their receipts are signed with, JSON.",
        examples=["gateway-keyring.json"],
    )

    @field_validator("channels_file")
    @classmethod
    def _usable_channels(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        try:
            read_channels(value, info.data.get("environment", ""))
        except ChannelsUnusable as error:
            raise _refused(f"is wrong: {error}") from None
        return value

    @field_validator("gateway_keyring_file")
    @classmethod
    def _gateways_have_keys(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        stated = read_channels(info.data.get("channels_file"), info.data.get("environment", ""))
        if value is None and any(isinstance(one, Gateway) for one in stated.values()):
            raise _refused("is required: GONGJI_CHANNELS_FILE names a gateway, and requests to gateways are signed")
        return value

    @field_validator("sms_directory")
    @classmethod
    def _only_where_nobody_is_real(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        what = ""
        if value is not None and info.data.get("environment") in {"sandbox", "production"}:
            what = "must not be set in sandbox and production: it would write codes to a disk"
        elif value is not None and not (value.is_dir() and os.access(value, os.W_OK)):
            what = f"names {value}, which is not a folder that this user may write to"
        if what:
            raise _refused(what)
        return value


class Settings(ReplaySettings, ServiceSettings):
    """What notify needs to serve."""

    keyring_file: KeyRingFile = Field(
        description="The keys that encrypt personal data, JSON.", examples=["keyring.json"]
    )
    callback_address: Address | None = Field(
        default=None, description="Where gateways post receipts.", examples=["127.0.0.1:7301"]
    )

    @field_validator("callback_address")
    @classmethod
    def _receipts_have_keys(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("gateway_keyring_file") is None:
            raise _refused("goes with GONGJI_GATEWAY_KEYRING_FILE: receipts are signed")
        return value

    contact_codes_to_person: int = Field(
        default=10, ge=1, le=1000, description="Codes that one person may have sent in 24 hours.", examples=["10"]
    )
    contact_codes_to_address: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Codes that may go to one address in 24 hours, whoever asks.",
        examples=["5"],
    )

    delivery_keep_days: int = Field(
        default=90,
        ge=1,
        le=3660,
        description="How long deliveries that have ended are kept; longer than events stay in the topics.",
        examples=["90"],
    )

    @field_validator("delivery_keep_days")
    @classmethod
    def _outlive_their_events(cls, value: int) -> int:
        # A delivery is what keeps its event from being told once more when a topic is read again.
        hours = max(catalogue().topic(name).retention_hours for name in TOPICS)
        if timedelta(days=value) <= timedelta(hours=hours):
            raise _refused(f"must be more than the {hours / 24:g} days that events stay in the topics")
        return value

    @property
    def delivery_keep(self) -> timedelta:
        """How long deliveries that have ended are kept."""
        return timedelta(days=self.delivery_keep_days)

    @property
    def contact_code_bounds(self) -> CodeBounds:
        """How many codes that verify contacts may be sent."""
        return CodeBounds(self.contact_codes_to_person, self.contact_codes_to_address)


MIGRATIONS = Path(__file__).parent / "migrations"
"""A link to the folder beside `src`; a wheel has the files themselves."""
