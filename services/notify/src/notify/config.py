"""The settings of notify."""

from pathlib import Path

from pydantic import Field

from kit.config import ReadableFile, ServiceSettings


class Settings(ServiceSettings):
    """What notify needs to serve: a key ring, for messages are encrypted at rest."""

    keyring_file: ReadableFile = Field(
        description="The keys that encrypt personal data, JSON.", examples=["keyring.json"]
    )


MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
"""Beside `src`; an image keeps the same layout."""
