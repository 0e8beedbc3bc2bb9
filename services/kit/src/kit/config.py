"""Settings from the environment: read once, here, and refused with every problem named at once.

Each service derives its own class from `ServiceSettings` and narrows or adds fields. Variables are the fields' names in
capitals after `GONGJI_`. Nothing has a secret default.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import EnvSettingsSource

from kit.crypto import KeyRing, KeyRingError
from kit.db_password import PasswordUnreadable, password_file, passwords
from kit.failures import OperatorError
from kit.signing import KeyRingUnusable, TokenSigner

PREFIX = "GONGJI_"
SERVICE = "SERVICE"
"""Stands in examples where a service's name goes."""
_URL_PASSWORD = re.compile(r"(?<=://)([^:@/]*):[^@/]*@")
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[^:\s]+):(?P<port>\d{1,5})")
_HIGHEST_PORT = 65535
_PRODUCTION_DOMAIN = "gongji"
_OF_THE_LOCAL_STACK = frozenset({"GONGJI_STATE", "GONGJI_STACK"})
"""Which a shell may have set for `gongji-local`; a service that is started from there passes over them."""

S = TypeVar("S", bound="DatabaseSettings")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the environment."""

    variable: str
    what: str
    example: str

    def __str__(self) -> str:
        return f"{self.variable} {self.what}" + (f" (for example {self.example})" if self.example else "")


class ConfigurationError(OperatorError):
    """The process cannot start as it is configured; names every problem at once."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        lines = "".join(f"\n  - {problem}" for problem in problems)
        found = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{found} with the environment:{lines}")


def _refuse(what: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{what}", {"what": what})


def _is_address(value: str) -> bool:
    match = _ADDRESS.fullmatch(value)
    return match is not None and int(match["port"]) <= _HIGHEST_PORT


def _address(value: str) -> str:
    if not _is_address(value):
        raise _refuse("must be HOST:PORT")
    return value


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise _refuse(f"names {path}, which is not a file")
    if not os.access(path, os.R_OK):
        raise _refuse(f"names {path}, which this user may not read")
    return path


def _key_ring(path: Path) -> Path:
    try:
        KeyRing.load(path)
    except KeyRingError as error:
        raise _refuse(f"names {path}, which is no key ring: {error}") from None
    return path


def _signing_keys(path: Path) -> Path:
    try:
        TokenSigner(path)
    except KeyRingUnusable as error:
        raise _refuse(f"names {path}, which is no ring of signing keys: {error}") from None
    return path


def _issuers(path: Path) -> Path:
    # Only here: what reads assertions takes long to load, and a command such as `migrate` needs none of it.
    from kit.auth.issuers import Issuers, IssuersFileError  # noqa: PLC0415

    try:
        Issuers(path)
    except IssuersFileError as error:
        raise _refuse(f"is wrong: {error}") from None
    return path


def _addresses(value: str) -> str:
    for each in value.split(","):
        if not _is_address(each):
            raise _refuse("must be HOST:PORT, several separated by commas")
    return value


def _database_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname or len(parts.path) < len("/x"):
        raise _refuse("must be postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE")
    if (file := password_file(value)) is not None:
        _password(file, parts.password)
    return value


def _password(file: Path, stated: str | None) -> None:
    if stated is not None:
        raise _refuse("has a password and names a file with one, too: leave the former out")
    try:
        passwords(file)
    except PasswordUnreadable as error:
        raise _refuse(f"names a file that is of no use: {error}") from None


Address = Annotated[str, AfterValidator(_address)]
Addresses = Annotated[str, AfterValidator(_addresses)]
ReadableFile = Annotated[Path, AfterValidator(_readable)]
KeyRingFile = Annotated[ReadableFile, AfterValidator(_key_ring)]
SigningKeysFile = Annotated[ReadableFile, AfterValidator(_signing_keys)]
IssuersFile = Annotated[ReadableFile, AfterValidator(_issuers)]


class _Variables(EnvSettingsSource):
    """The variables of one mapping, instead of the process's own."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {key.lower(): value for key, value in self._environ.items() if value != ""}


class DatabaseSettings(BaseSettings):
    """What a command needs that only touches the database, such as `migrate`."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", validate_default=True
    )

    environment: Literal["local", "test", "sandbox", "production"] = Field(
        description="Where this runs; production refuses what only tests need.", examples=["local"]
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least level that is logged.", examples=["INFO"]
    )
    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        repr=False,
        description="The service's own database, as its owning role; in production with ?sslmode=verify-full, and the"
        " password best in a file (&passwordfile=…), which is read for each new connection.",
        examples=["postgresql://gongji_SERVICE:PASSWORD@127.0.0.1:5432/gongji_SERVICE"],
    )
    database_pool_size: int = Field(
        default=8, ge=1, le=200, description="Connections this process holds at most.", examples=["8"]
    )

    @field_validator("database_url")
    @classmethod
    def _encrypted_in_production(cls, value: str, info: ValidationInfo) -> str:
        if _in_production(info) and parse_qs(urlsplit(value).query).get("sslmode") != ["verify-full"]:
            raise _refuse("must end with ?sslmode=verify-full in production")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` passes: constructing settings in a test must not depend on the machine."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


class SealingSettings(DatabaseSettings):
    """What a command needs that seals anew what the database holds."""

    keyring_file: KeyRingFile = Field(
        description="The keys that encrypt personal data, JSON.", examples=["keyring.json"]
    )


class ClockSettings(DatabaseSettings):
    """What a command needs that tells or compares business times."""

    clock_offset_file: Path | None = Field(
        default=None, description="A file with seconds by which time is shifted; tests only.", examples=["clock-offset"]
    )

    @field_validator("clock_offset_file")
    @classmethod
    def _real_time_in_production(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and _in_production(info):
            raise _refuse("must not be set in production: time is real there")
        return value


class ConsumerSettings(ClockSettings):
    """What a command needs that reads events, such as those under `dlq`."""

    kafka_bootstrap: Addresses = Field(
        description="Kafka's first addresses, separated by commas.", examples=["127.0.0.1:9092"]
    )
    kafka_ca_file: ReadableFile | None = Field(
        default=None,
        description="The CA of Kafka's brokers, PEM; all three Kafka files or none, in production all.",
        examples=["tls/ca.crt"],
    )
    kafka_cert_file: ReadableFile | None = Field(
        default=None, description="This service's certificate for Kafka, PEM.", examples=["tls/SERVICE.crt"]
    )
    kafka_key_file: ReadableFile | None = Field(
        default=None, description="The key of that certificate, PEM.", examples=["tls/SERVICE.key"]
    )

    @field_validator("kafka_ca_file", "kafka_cert_file", "kafka_key_file")
    @classmethod
    def _kafka_encrypted_in_production(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None and _in_production(info):
            raise _refuse("is required in production: Kafka is spoken to over TLS")
        return value

    @field_validator("kafka_key_file")
    @classmethod
    def _kafka_files_together(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        others = [info.data[name] for name in ("kafka_ca_file", "kafka_cert_file") if name in info.data]
        if any((other is None) != (value is None) for other in others):
            raise _refuse("goes with GONGJI_KAFKA_CA_FILE and GONGJI_KAFKA_CERT_FILE: set all three or none")
        return value


class ServiceSettings(ConsumerSettings):
    """What every service needs to serve."""

    trust_domain: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]*$",
        description="The domain of the SPIFFE ids that are believed; `gongji` in production and only there.",
        examples=["gongji-local"],
    )
    grpc_address: Address = Field(description="Where gRPC is served.", examples=["127.0.0.1:7101"])
    http_address: Address = Field(description="Where metrics and probes are served.", examples=["127.0.0.1:7201"])
    probe_address: Address | None = Field(
        default=None,
        description="Where Kubernetes' gRPC probes are answered, without TLS; absent: over HTTP alone.",
        examples=["0.0.0.0:7300"],
    )
    tls_cert_file: ReadableFile = Field(description="This service's certificate, PEM.", examples=["tls/SERVICE.crt"])
    tls_key_file: ReadableFile = Field(description="The key of that certificate, PEM.", examples=["tls/SERVICE.key"])
    institution_ca_file: ReadableFile = Field(
        description="The CA that may vouch for institutions, PEM.", examples=["tls/institutions-ca.crt"]
    )
    service_ca_file: ReadableFile = Field(
        description="The CA that may vouch for services, PEM.", examples=["tls/services-ca.crt"]
    )
    jwks_file: IssuersFile = Field(
        description="Who may issue assertions about people, with their keys, JSON.", examples=["assertion-issuers.json"]
    )
    keyring_file: KeyRingFile | None = Field(
        default=None, description="The keys that encrypt personal data, JSON.", examples=["keyring.json"]
    )
    credential_keyring_file: SigningKeysFile | None = Field(
        default=None, description="The keys of visit credentials, JSON.", examples=["credential-keyring.json"]
    )
    otlp_endpoint: str | None = Field(
        default=None, pattern=r"^https?://", description="Where traces go.", examples=["http://127.0.0.1:4317"]
    )
    trace_sample_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="The share of the traces that begin here which is recorded; callers decide about theirs.",
        examples=["0.01"],
    )
    grpc_reflection: bool = Field(
        default=False, description="Whether the contract can be asked for over gRPC.", examples=["false"]
    )
    grpc_max_concurrent: int = Field(
        default=256, ge=1, le=100_000, description="Calls under way at most; one more is refused.", examples=["256"]
    )

    @field_validator("trust_domain")
    @classmethod
    def _environment_in_domain(cls, value: str, info: ValidationInfo) -> str:
        if _in_production(info) and value != _PRODUCTION_DOMAIN:
            raise _refuse(f"must be {_PRODUCTION_DOMAIN} in production")
        if "environment" in info.data and not _in_production(info) and value == _PRODUCTION_DOMAIN:
            raise _refuse(f"must name the environment outside production; {_PRODUCTION_DOMAIN} is production's")
        return value


def _in_production(info: ValidationInfo) -> bool:
    return info.data.get("environment") == "production"


def load(cls: type[S], environ: Mapping[str, str] | None = None, service: str = SERVICE) -> S:
    """Settings of this class from `environ`, by default the process's own environment; examples name `service`.

    Raises:
        ConfigurationError: something is missing, malformed or not allowed together; names all of it.
    """
    values = _Variables(cls, os.environ if environ is None else environ)()
    try:
        return cls(**values)
    except ValidationError as error:
        raise ConfigurationError([_problem(cls, details, service) for details in error.errors()]) from None


def unknown(known: Collection[type[DatabaseSettings]], environ: Mapping[str, str] | None = None) -> list[Problem]:
    """Variables with our prefix that none of these classes reads: misspelt, they would be passed over in silence."""
    names = {variable(name) for cls in known for name in cls.model_fields} | _OF_THE_LOCAL_STACK
    given = os.environ if environ is None else environ
    strange = sorted(name for name, value in given.items() if name.upper().startswith(PREFIX) and value)
    return [_no_setting(name, names) for name in strange if name.upper() not in names]


def _no_setting(name: str, names: Collection[str]) -> Problem:
    near = get_close_matches(name.upper(), names, n=1)
    return Problem(name, "is no setting of this service" + (f"; is {near[0]} meant?" if near else ""), "")


def _problem(cls: type[DatabaseSettings], details: ErrorDetails, service: str) -> Problem:
    name = str(details["loc"][0]) if details["loc"] else ""
    field = cls.model_fields.get(name)
    example = str(field.examples[0]).replace(SERVICE, service) if field and field.examples else ""
    what = "is missing" if details["type"] == "missing" else _sentence(details)
    return Problem(variable(name), what, example)


def _sentence(details: ErrorDetails) -> str:
    # Pydantic's own messages describe the rule, not the value, which may be a secret.
    if details["type"] == "refused":
        return details["msg"]
    return "is not acceptable: " + details["msg"][0].lower() + details["msg"][1:]


def variable(field_name: str) -> str:
    """The environment variable that a field is read from."""
    return PREFIX + field_name.upper()


def describe(settings: DatabaseSettings) -> str:
    """The effective settings, one variable a line, secrets masked."""
    return "\n".join(f"{name}={value}" for name, value in _lines(settings))


def _lines(settings: DatabaseSettings) -> Iterator[tuple[str, str]]:
    for name, field in type(settings).model_fields.items():
        yield variable(name), _shown(field, getattr(settings, name))


def _shown(field: FieldInfo, value: Any) -> str:
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    masked = _URL_PASSWORD.sub(r"\1:***@", text)
    return "***" if masked == text and not field.repr else masked
