"""What the processes of the manifests are told, with files and Secrets such as an installation would have."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from binding.config import Settings as BindingSettings
from gongji_local.keys import Keys
from identity.config import Settings as IdentitySettings
from identity.retention import IdentityRetention
from kit.config import ClockSettings, DatabaseSettings, SealingSettings, ServiceSettings
from kit.grpc_client import TlsFiles
from kit.retention import BusRetention
from kit.testing_tls import Pki
from notify.config import Settings as NotifySettings
from settlement.books_config import AuditSettings, ReconcileSettings
from settlement.config import Settings as SettlementSettings
from support.manifests import SERVICES, Run

SERVING: Final[Mapping[str, type[ServiceSettings]]] = {
    "identity": IdentitySettings,
    "binding": BindingSettings,
    "settlement": SettlementSettings,
    "notify": NotifySettings,
}
COMMANDS: Final[Mapping[tuple[str, str], type[DatabaseSettings]]] = {
    **{(service, "serve"): settings_cls for service, settings_cls in SERVING.items()},
    **{(service, "migrate"): DatabaseSettings for service in SERVICES},
    **{(service, "reencrypt"): SealingSettings for service in SERVICES},
    ("identity", "purge"): IdentityRetention,
    **{(service, "purge"): BusRetention for service in ("binding", "settlement", "notify")},
    ("binding", "audit"): DatabaseSettings,
    ("settlement", "audit"): AuditSettings,
    ("settlement", "close-day"): ClockSettings,
    ("settlement", "reconcile-holds"): ReconcileSettings,
}
"""What each command that the manifests run reads from its environment."""
TRUST_DOMAIN: Final = "gongji"
"""Production's, for which the certificates are made."""
SECRETS: Final = {
    (f"{service}-database", "url"): f"postgresql://gongji_{service}@{service}-database-rw:5432/gongji_{service}"
    "?sslmode=verify-full&sslrootcert=/etc/gongji/database/ca.crt&passwordfile=/etc/gongji/database/password"
    for service in SERVICES
}


def settings_class(run: Run) -> type[DatabaseSettings]:
    """The settings of the command that a container runs."""
    return COMMANDS[run.service, run.arguments[0]]


def environ_of(run: Run, folder: Path) -> dict[str, str]:
    """The variables of a container, whose mounted files are written below `folder`."""
    for path, (source, key) in run.files().items():
        written = folder / path.lstrip("/")
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(run.config_maps.get(source, {}).get(key) or _content(run.service, key))
        written.chmod(0o440)  # as the volumes say
    found = run.environ(SECRETS)
    return {name: value.replace("/etc/gongji/", f"{folder}/etc/gongji/") for name, value in found.items()}


@cache
def _made() -> TemporaryDirectory[str]:
    """Where keys and certificates are made, once for all tests; gone with the process."""
    return TemporaryDirectory(prefix="gongji-manifests-")


@cache
def _pki() -> Pki:
    return Pki(Path(_made().name), TRUST_DOMAIN)


@cache
def _own(service: str) -> TlsFiles:
    return _pki().service(service)


@cache
def _content(service: str, key: str) -> str:
    keys, authorities = Keys(Path(_made().name)), _pki()
    makers: dict[str, Callable[[], Path]] = {
        "keyring.json": lambda: keys.keyring(service),
        "code-keyring.json": keys.code_keyring,
        "credential-keyring.json": keys.credential_keyring,
        "gateway-keyring.json": keys.credential_keyring,
        "assertion-issuers.json": keys.jwks,
        "institutions-ca.crt": lambda: authorities.institution_ca_file,
        "services-ca.crt": lambda: authorities.service_ca_file,
        "password": lambda: _written(Path(_made().name, "password")),
        "ca.crt": lambda: authorities.service_ca_file,
        **dict.fromkeys(("tls.crt", "user.crt"), lambda: _own(service).cert),
        **dict.fromkeys(("tls.key", "user.key"), lambda: _own(service).key),
    }
    return makers[key]().read_text()


def _written(path: Path) -> Path:
    path.write_text("secret")
    return path
