"""What registering reads from the environment: which register names are checked against, and how it is spoken to."""

import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from identity.domain.attempts import Bound, Bounds
from kit.config import KeyRingFile, ReadableFile, ServiceSettings

_TOKEN: Final = re.compile(r"[\x21-\x7e]{16,4096}")
_PREFIX: Final = "GONGJI_REAL_NAME_REGISTRY_"


def _refuse(what: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{what}", {"what": what})


def _platform_url(value: str) -> str:
    if value:
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
            raise _refuse("must be https://HOST[:PORT]/PATH, without user, query and fragment")
    return value


def _token_file(path: Path) -> Path:
    if not _TOKEN.fullmatch(path.read_text(encoding="ascii", errors="replace").strip()):
        raise _refuse(f"names {path}, which does not hold one token of 16 to 4096 visible ASCII characters")
    return path


class RegistrationSettings(ServiceSettings):
    """Settings of the real-name check."""

    real_name_registry_url: Annotated[str, AfterValidator(_platform_url)] = Field(
        default="",
        description="The regional platform's real-name check; empty: the imported register.",
        examples=["https://platform.example/real-name/v1/check"],
    )
    real_name_registry_ca_file: ReadableFile | None = Field(
        default=None,
        description="The CA of that platform, PEM; absent: the system's.",
        examples=["tls/platform-ca.crt"],
    )
    real_name_registry_timeout_ms: int = Field(
        default=2500, ge=100, le=2900, description="How long a check may take, retries included.", examples=["2500"]
    )
    real_name_registry_token_file: Annotated[ReadableFile, AfterValidator(_token_file)] | None = Field(
        default=None, description="The bearer token for that platform.", examples=["platform-token"]
    )
    real_name_registry_signing_keyring_file: ReadableFile | None = Field(
        default=None,
        description="The keys that sign requests to that platform, JSON; either these or a token.",
        examples=["platform-keyring.json"],
    )
    registration_code_required: bool = Field(
        default=True,
        description="Whether an adult registers with a code sent to the telephone on file.",
        examples=["true"],
    )
    code_keyring_file: KeyRingFile = Field(
        description="The keys that seal one-time codes for notify, JSON; identity and notify alone have them.",
        examples=["code-keyring.json"],
    )
    attempts_per_person_an_hour: int = Field(
        default=5, ge=1, le=100, description="Attempts of a kind about one person in any hour.", examples=["5"]
    )
    attempts_per_caller_an_hour: int = Field(
        default=20, ge=1, le=1000, description="Attempts of a kind by one caller in any hour.", examples=["20"]
    )

    @property
    def attempt_bounds(self) -> Bounds:
        """How often somebody may try."""
        return Bounds(Bound(self.attempts_per_person_an_hour), Bound(self.attempts_per_caller_an_hour))

    @field_validator("real_name_registry_ca_file", "real_name_registry_token_file")
    @classmethod
    def _only_with_a_platform(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("real_name_registry_url") == "":
            raise _refuse(f"goes with {_PREFIX}URL")
        return value

    @field_validator("real_name_registry_signing_keyring_file")
    @classmethod
    def _one_way_to_be_known(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "real_name_registry_token_file" not in info.data or "real_name_registry_url" not in info.data:
            return value  # refused by itself
        token = info.data["real_name_registry_token_file"]
        if not info.data["real_name_registry_url"] and value is not None:
            raise _refuse(f"goes with {_PREFIX}URL")
        if info.data["real_name_registry_url"] and (token is None) == (value is None):
            raise _refuse(f"or {_PREFIX}TOKEN_FILE must be set, one of them: the platform has to know who asks")
        return value
