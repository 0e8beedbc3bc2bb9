"""Settings of what looks after the books: the audit, `pending`, reconciling with binding."""

from pydantic import AwareDatetime, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from kit.config import ClockSettings, ReadableFile
from kit.grpc_client import TlsFiles
from settlement.domain.seals import SealAlgorithm

_TARGET = "Where binding serves gRPC."
_TARGETS = ["127.0.0.1:7102", "dns:///binding:7102"]


class ReconcileSettings(ClockSettings):
    """What reconciling holds needs: the database, and binding."""

    binding_target: str = Field(min_length=1, description=_TARGET, examples=_TARGETS)
    binding_timeout_seconds: float = Field(
        default=6.0, gt=0, le=15, description="How long binding is waited for, repeats included.", examples=["6"]
    )
    tls_cert_file: ReadableFile = Field(description="This service's certificate, PEM.", examples=["tls/SERVICE.crt"])
    tls_key_file: ReadableFile = Field(description="The key of that certificate, PEM.", examples=["tls/SERVICE.key"])
    service_ca_file: ReadableFile = Field(
        description="The CA that may vouch for services, PEM.", examples=["tls/services-ca.crt"]
    )
    reconcile_age_seconds: int = Field(
        default=3600,
        ge=0,
        le=315_360_000,
        description="How long binding has held something before it is told its outcome again.",
        examples=["3600"],
    )
    reconcile_every_seconds: float = Field(
        default=600.0,
        gt=0,
        le=86_400,
        description="How often binding is asked what it has held for long.",
        examples=["600"],
    )

    reconcile_captured_since: AwareDatetime | None = Field(
        default=None,
        description="After a restore: since when to give back what binding has captured and is not settled here.",
        examples=["2026-05-01T12:00:00+08:00"],
    )

    @property
    def binding_tls(self) -> TlsFiles:
        """How binding is spoken to."""
        return TlsFiles(self.tls_cert_file, self.tls_key_file, self.service_ca_file)


class SealSettings(ClockSettings):
    """How the ledger is sealed."""

    seal_algorithm: SealAlgorithm = Field(
        default=SealAlgorithm.SHA_256,
        description="What new blocks of entries are hashed with, SHA-256 or SM3.",
        examples=["SHA-256"],
    )
    seal_every_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="How often entries are looked for to be sealed.", examples=["60"]
    )


class SweepSettings(ClockSettings):
    """When what was left PENDING is given up."""

    sweep_age_seconds: float = Field(
        default=20.0,
        ge=16,
        description="After how long a settlement left PENDING is given up; above the cap on deadlines, 15 s.",
        examples=["20"],
    )
    sweep_every_seconds: float = Field(
        default=2.0, gt=0, le=60, description="How often what was left PENDING is looked for.", examples=["2"]
    )


class AuditSettings(SweepSettings):
    """What an audit needs: it only reads the database, tells what the sweeper should have done, and may ask binding."""

    binding_lag_seconds: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="How long an outcome may be on its way to binding before the audit misses it there.",
        examples=["60"],
    )
    binding_timeout_seconds: float = Field(
        default=6.0, gt=0, le=15, description="How long binding is waited for, repeats included.", examples=["6"]
    )
    tls_cert_file: ReadableFile | None = Field(
        default=None, description="This service's certificate, PEM; to ask binding.", examples=["tls/SERVICE.crt"]
    )
    tls_key_file: ReadableFile | None = Field(
        default=None, description="The key of that certificate, PEM; to ask binding.", examples=["tls/SERVICE.key"]
    )
    service_ca_file: ReadableFile | None = Field(
        default=None, description="The CA that vouches for binding, PEM.", examples=["tls/services-ca.crt"]
    )
    binding_target: str | None = Field(
        default=None, min_length=1, description=f"{_TARGET} Without it binding is not asked.", examples=_TARGETS
    )

    @field_validator("binding_target")
    @classmethod
    def _with_certificate(cls, value: str | None, info: ValidationInfo) -> str | None:
        needed = ("tls_cert_file", "tls_key_file", "service_ca_file")
        if value is not None and any(name in info.data and info.data[name] is None for name in needed):
            names = ", ".join(f"GONGJI_{name.upper()}" for name in needed)
            raise PydanticCustomError("refused", "{what}", {"what": f"goes with {names}: set all four or none"})
        return value

    @property
    def binding_tls(self) -> TlsFiles | None:
        """How binding is spoken to; None when it is not to be asked."""
        if not (self.binding_target and self.tls_cert_file and self.tls_key_file and self.service_ca_file):
            return None
        return TlsFiles(self.tls_cert_file, self.tls_key_file, self.service_ca_file)
