"""The file that says which adapter each channel has and which policy; see `services/notify/CHANNELS.md`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kit.config import ReadableFile
from kit.failures import OperatorError
from notify.channels.policy import DEFAULTS, Policy
from notify.domain.channels import Channel

_REAL_PEOPLE: Final = frozenset({"sandbox", "production"})


class ChannelsUnusable(OperatorError):
    """The channels' file cannot be read or used; says all that is wrong with it, and no value from it."""


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be http(s)://HOST/PATH, without a query or a password")
    return value


Url = Annotated[str, AfterValidator(_url)]
Overrides = Mapping[str, float]


class _Stated(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Overrides = {}
    """What differs from the channel's default."""


class Gateway(_Stated):
    """SMS or push by an HTTP gateway."""

    adapter: Literal["gateway"]
    url: Url
    templates: dict[str, dict[str, str]] = {}
    """The gateway's template ids by the name of a text and its language; empty where it knows texts by our names."""
    ca_file: ReadableFile | None = None

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way can read along."""
        return self.url.startswith("https:")


class Mail(_Stated):
    """E-mail by SMTP."""

    adapter: Literal["smtp"]
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: str = Field(min_length=3, max_length=320, pattern=r"^[^\r\n]*[^\s@<>]@[^\s@<>]+>?$")
    username: str | None = None
    password_file: ReadableFile | None = None
    ca_file: ReadableFile | None = None

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way can read along."""
        return self.security != "none"


class Robots(_Stated):
    """A messenger by its robots."""

    adapter: Literal["robot"]
    url: Url | None = None
    """Where they are reached; None for the messenger's own address."""
    ca_file: ReadableFile | None = None

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way can read along."""
        return self.url is None or self.url.startswith("https:")


Stated = Gateway | Mail | Robots
ADAPTERS: Final[Mapping[Channel, type[Stated]]] = {
    Channel.SMS: Gateway,
    Channel.PUSH: Gateway,
    Channel.EMAIL: Mail,
    Channel.WECOM: Robots,
    Channel.DINGTALK: Robots,
    Channel.FEISHU: Robots,
}
_FILE: Final = TypeAdapter(dict[Channel, Annotated[Stated, Field(discriminator="adapter")]])


def read_channels(path: Path | None, environment: str) -> dict[Channel, Stated]:
    """What the file says of each channel that it names; nothing where there is no file.

    Raises:
        ChannelsUnusable: it cannot be read, or used in this environment.
    """
    if path is None:
        return {}
    try:
        stated = _FILE.validate_json(path.read_bytes())
    except OSError as error:
        raise ChannelsUnusable(f"the channels' file {path} cannot be read: {type(error).__name__}") from error
    except ValidationError as error:
        raise ChannelsUnusable(f"the channels' file {path} is wrong: {_told(error)}") from None
    problems = [problem for channel, one in stated.items() for problem in _problems(channel, one, environment)]
    if problems:
        raise ChannelsUnusable(f"the channels' file {path} is wrong: {'; '.join(problems)}")
    return stated


def policy_of(channel: Channel, stated: Stated | None) -> Policy:
    """The channel's policy: its default, changed by what is stated."""
    overrides = stated.policy if stated else {}
    return Policy.model_validate(DEFAULTS[channel].model_dump() | dict(overrides))


def _problems(channel: Channel, stated: Stated, environment: str) -> list[str]:
    problems = []
    expected = ADAPTERS.get(channel)
    if expected is None or not isinstance(stated, expected):
        return [f"{channel.value} does not go by {stated.adapter}"]
    if environment in _REAL_PEOPLE and not stated.is_encrypted:
        problems.append(f"{channel.value} must be encrypted in sandbox and production")
    try:
        policy_of(channel, stated)
    except ValidationError as error:
        problems.append(f"{channel.value}.policy: {_told(error)}")
    return problems


def _told(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}"
        for one in error.errors(include_url=False, include_input=False)
    )
