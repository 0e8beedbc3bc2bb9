"""The settings of notify."""

import os
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from kit.config import ConsumerSettings, KeyRingFile, ServiceSettings


class ReplaySettings(ConsumerSettings):
    """What handling events needs: a key ring, for messages are encrypted at rest, and one to open codes with."""

    keyring_file: KeyRingFile = Field(
        description="The keys that encrypt personal data, JSON.", examples=["keyring.json"]
    )
    code_keyring_file: KeyRingFile = Field(
        description="The keys that identity seals one-time codes with, JSON.", examples=["code-keyring.json"]
    )
    sms_directory: Path | None = Field(
        default=None,
        description="A folder for messages to telephones, in clear; for developers and tests only.",
        examples=["sms"],
    )

    @field_validator("sms_directory")
    @classmethod
    def _only_where_nobody_is_real(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        what = ""
        if value is not None and info.data.get("environment") in {"sandbox", "production"}:
            what = "must not be set in sandbox and production: it would write codes to a disk"
        elif value is not None and not (value.is_dir() and os.access(value, os.W_OK)):
            what = f"names {value}, which is not a folder that this user may write to"
        if what:
            raise PydanticCustomError("refused", "{what}", {"what": what})
        return value


class Settings(ReplaySettings, ServiceSettings):
    """What notify needs to serve."""

    keyring_file: KeyRingFile = Field(
        description="The keys that encrypt personal data, JSON.", examples=["keyring.json"]
    )


MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
"""Beside `src`; an image keeps the same layout."""
