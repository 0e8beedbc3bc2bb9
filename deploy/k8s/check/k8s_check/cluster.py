"""A throw-away Kubernetes: the real API server on a real etcd, and with `full` the controllers, scheduler and KWOK."""

import secrets
import shutil
import ssl
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.error import URLError

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gongji_local.clock import wait_until
from gongji_local.ports import LOOPBACK, free_port
from k8s_check.binaries import HERE
from k8s_check.errors import CheckError
from k8s_check.kubectl import Kubectl

READY_SECONDS: Final = 90
END_SECONDS: Final = 10
_PORTS: Final = ("etcd", "peer", "apiserver", "controllers", "scheduler", "kwok")
_USERS: Final = ("admin", "controllers", "scheduler", "kwok")
_LOG_TAIL_BYTES: Final = 1_500


class Cluster:
    """Running between `with` and its end; nothing of it is left afterwards, and nothing else is touched.

    Args:
        binaries: the folder of the programs.
        full: also what makes pods of Deployments, places them, and pretends that they run.
    """

    def __init__(self, binaries: Path, *, full: bool = False) -> None:
        self._binaries = binaries
        self._full = full
        self._home = Path(tempfile.mkdtemp(prefix="gongji-k8s-"))
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def kubectl(self) -> Kubectl:
        """Kubectl as the cluster's administrator."""
        return Kubectl(self._binaries / "kubectl", self._config("admin"), self._home)

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return f"https://{LOOPBACK}:{self._ports['apiserver']}"

    @property
    def token(self) -> str:
        """The administrator's."""
        return self._tokens["admin"]

    @property
    def trust(self) -> ssl.SSLContext:
        """Trust in this server's certificate, which it made itself."""
        return ssl.create_default_context(cafile=str(self._home / "certs/apiserver.crt"))

    def _start(self) -> None:
        self._choose_ports()
        self._write_identities()
        self._run("etcd", self._etcd(), f"http://{LOOPBACK}:{self._ports['etcd']}/readyz")
        self._run("kube-apiserver", self._apiserver(), f"{self.url}/readyz")
        if self._full:
            self._spawn("kube-controller-manager", self._controllers())
            self._spawn("kube-scheduler", self._scheduler())
            self._spawn("kwok", self._kwok())
            for name, port, scheme in (
                ("kube-controller-manager", "controllers", "https"),
                ("kube-scheduler", "scheduler", "https"),
                ("kwok", "kwok", "http"),
            ):
                self._await(name, f"{scheme}://{LOOPBACK}:{self._ports[port]}/healthz")

    def _choose_ports(self) -> None:
        for name in _PORTS:
            self._ports[name] = free_port(None, set(self._ports.values()))

    def _write_identities(self) -> None:
        (self._home / "certs").mkdir()
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self._home / "certs/accounts.key").write_bytes(private)
        (self._home / "certs/accounts.pub").write_bytes(public)
        self._tokens = {user: secrets.token_hex(16) for user in _USERS}
        lines = [f'{token},{user},{user},"system:masters"\n' for user, token in self._tokens.items()]
        (self._home / "tokens.csv").write_text("".join(lines))
        for user, token in self._tokens.items():
            self._config(user).write_text(self._kubeconfig(user, token))

    def _config(self, user: str) -> Path:
        return self._home / f"{user}.kubeconfig"

    def _kubeconfig(self, user: str, token: str) -> str:
        return f"""apiVersion: v1
kind: Config
current-context: check
clusters: [{{name: check, cluster: {{server: "{self.url}", certificate-authority: {self._home}/certs/apiserver.crt}}}}]
contexts: [{{name: check, context: {{cluster: check, user: {user}}}}}]
users: [{{name: {user}, user: {{token: "{token}"}}}}]
"""

    def _etcd(self) -> list[str]:
        client, peer = (f"http://{LOOPBACK}:{self._ports[name]}" for name in ("etcd", "peer"))
        return [
            *("--data-dir", f"{self._home}/etcd", "--unsafe-no-fsync", "--log-level", "warn"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        ]

    def _apiserver(self) -> list[str]:
        certs = self._home / "certs"
        return [
            *("--etcd-servers", f"http://{LOOPBACK}:{self._ports['etcd']}", "--endpoint-reconciler-type", "none"),
            *("--bind-address", LOOPBACK, "--advertise-address", LOOPBACK, "--cert-dir", str(certs)),
            *("--secure-port", str(self._ports["apiserver"]), "--authorization-mode", "RBAC"),
            *("--token-auth-file", f"{self._home}/tokens.csv", "--service-cluster-ip-range", "10.96.0.0/16"),
            *("--service-account-issuer", "https://check.invalid", "--allow-privileged=false", "--profiling=false"),
            *("--service-account-key-file", f"{certs}/accounts.pub"),
            *("--service-account-signing-key-file", f"{certs}/accounts.key"),
        ]

    def _controllers(self) -> list[str]:
        return [
            *("--kubeconfig", str(self._config("controllers")), "--leader-elect=false", "--bind-address", LOOPBACK),
            *("--secure-port", str(self._ports["controllers"]), "--cert-dir", f"{self._home}/certs-controllers"),
            *("--service-account-private-key-file", f"{self._home}/certs/accounts.key"),
            *("--root-ca-file", f"{self._home}/certs/apiserver.crt", "--use-service-account-credentials=false"),
            # Nobody measures CPU here: an autoscaler does no more than keep its least number, and soon.
            *("--node-monitor-grace-period", "60s", "--horizontal-pod-autoscaler-sync-period", "2s"),
        ]

    def _scheduler(self) -> list[str]:
        config = str(self._config("scheduler"))
        return [
            *("--kubeconfig", config, "--authentication-kubeconfig", config, "--authorization-kubeconfig", config),
            *("--leader-elect=false", "--bind-address", LOOPBACK, "--secure-port", str(self._ports["scheduler"])),
            *("--cert-dir", f"{self._home}/certs-scheduler"),
        ]

    def _kwok(self) -> list[str]:
        return [
            *("--kubeconfig", str(self._config("kwok")), "--config", f"{HERE}/stages.yaml", "--manage-all-nodes=true"),
            *("--cidr", "10.244.0.0/16", "--node-ip", LOOPBACK, "--node-lease-duration-seconds", "40"),
            *("--server-address", f"{LOOPBACK}:{self._ports['kwok']}"),
        ]

    def _run(self, name: str, arguments: list[str], url: str) -> None:
        self._spawn(name, arguments)
        self._await(name, url)

    def _spawn(self, name: str, arguments: list[str]) -> None:
        with (self._home / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [str(self._binaries / name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._home,
                env={"HOME": str(self._home), "PATH": "/usr/bin:/bin"},
                # Ctrl-C is for the check, which then ends them in their order.
                start_new_session=True,
            )

    def _await(self, name: str, url: str) -> None:
        def answered_or_over() -> bool:
            return _answers(url) or self._running[name].poll() is not None

        if not wait_until(answered_or_over, READY_SECONDS) or self._running[name].poll() is not None:
            tail = (self._home / f"{name}.log").read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
            raise CheckError(f"{name} did not come up within {READY_SECONDS} s; the end of its log:\n{tail}")

    def _end(self) -> None:
        # The last one first: what still runs must not fill its log with complaints about what is gone.
        for process in reversed(self._running.values()):
            process.kill()
            process.wait(END_SECONDS)
        shutil.rmtree(self._home, ignore_errors=True)


def _answers(url: str) -> bool:
    # The certificate is made while the server starts, so there is nothing to check it against yet; no secret is sent.
    unchecked = ssl._create_unverified_context()  # noqa: S323, SLF001 the standard library's one way
    try:
        with urllib.request.urlopen(url, timeout=2, context=unchecked) as answer:  # noqa: S310 our own server
            return bool(answer.status == 200)  # noqa: PLR2004 HTTP's own
    except (URLError, OSError):
        return False
