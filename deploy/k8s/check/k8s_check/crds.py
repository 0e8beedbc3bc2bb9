"""The CustomResourceDefinitions that the components' objects are held to, made from what their projects publish.

CloudNativePG publishes its own in no registry that builds reach, so its objects are built and not applied: `UNCHECKED`.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gongji_local.kafka.java import find_java
from k8s_check.binaries import HERE, cache, go, locked
from k8s_check.errors import CheckError

UNCHECKED: Final = frozenset({"postgresql.cnpg.io", "barmancloud.cnpg.io"})
"""API groups whose definitions cannot be had here; their objects are built only, and the result says so."""
_CERT_MANAGER: Final = "github.com/cert-manager/cert-manager"
_CERT_MANAGER_FILES: Final = ("cert-manager.io_certificates.yaml", "cert-manager.io_issuers.yaml")
_PROMETHEUS: Final = "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
_PROMETHEUS_FILES: Final = ("monitoring.coreos.com_podmonitors.yaml", "monitoring.coreos.com_prometheusrules.yaml")
_STRIMZI: Final = {
    "io.strimzi.api.kafka.model.kafka.Kafka": "kafka.strimzi.io_kafkas.yaml",
    "io.strimzi.api.kafka.model.nodepool.KafkaNodePool": "kafka.strimzi.io_kafkanodepools.yaml",
    "io.strimzi.api.kafka.model.topic.KafkaTopic": "kafka.strimzi.io_kafkatopics.yaml",
    "io.strimzi.api.kafka.model.user.KafkaUser": "kafka.strimzi.io_kafkausers.yaml",
}
_MADE_FROM: Final = ("crds/go.mod", "crds/go.sum", "strimzi/pom.xml", "k8s_check/crds.py")
_MAVEN_SECONDS: Final = 300
_JAVA_SECONDS: Final = 60


def ensure(environ: Mapping[str, str]) -> Path:
    """The folder with one file for each definition; made anew when what they are made from has changed.

    Raises:
        CheckError: Go, Maven or Java is missing or fails.
    """
    folder = cache(environ, f"crds-{_fingerprint()}")
    made = folder / "made"
    with locked(folder):
        if not made.is_dir():
            print(f"generating CustomResourceDefinitions into {folder} (once; two minutes)", flush=True)
            draft = folder / "draft"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            _cert_manager(draft, environ)
            _prometheus(draft, environ)
            _strimzi(draft, folder / "jars", environ)
            draft.rename(made)
    return made


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in _MADE_FROM:
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()[:12]


def _cert_manager(into: Path, environ: Mapping[str, str]) -> None:
    go(["mod", "download", _CERT_MANAGER], HERE / "crds", environ)
    module = Path(go(["list", "-m", "-f", "{{.Dir}}", _CERT_MANAGER], HERE / "crds", environ).strip())
    for name in _CERT_MANAGER_FILES:
        shutil.copyfile(module / "deploy/crds" / name, into / name)


def _prometheus(into: Path, environ: Mapping[str, str]) -> None:
    everything = into / "prometheus"
    arguments = ["crd:crdVersions=v1", f"paths={_PROMETHEUS}", f"output:crd:dir={everything}"]
    go(["tool", "controller-gen", *arguments], HERE / "crds", environ)
    for name in _PROMETHEUS_FILES:
        (everything / name).rename(into / name)
    shutil.rmtree(everything)


def _strimzi(into: Path, jars: Path, environ: Mapping[str, str]) -> None:
    maven = shutil.which("mvn", path=environ.get("PATH"))
    if maven is None:
        raise CheckError("The CustomResourceDefinitions of Strimzi need Maven 3.8 or later in PATH; there is no mvn.")
    copy = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
    _run([maven, "-q", "-B", "-f", str(HERE / "strimzi/pom.xml"), *copy], environ, _MAVEN_SECONDS)
    versions = ["--target-kube", "1.30+", "--crd-api-version", "v1", "--api-versions", "v1", "--storage-version", "v1"]
    files = [f"{name}={into / file}" for name, file in _STRIMZI.items()]
    # The wheel's Java 25: the generator needs 21, the machine's own may be 17.
    generator = [str(find_java(environ)), "-cp", f"{jars}/*", "io.strimzi.crdgenerator.CrdGenerator"]
    _run([*generator, *versions, "--yaml", *files], environ, _JAVA_SECONDS)


def _run(command: list[str], environ: Mapping[str, str], timeout_seconds: float) -> None:
    finished = subprocess.run(
        command, env=dict(environ), capture_output=True, text=True, check=False, timeout=timeout_seconds
    )
    if finished.returncode:
        raise CheckError(f"{Path(command[0]).name} failed:\n{(finished.stdout + finished.stderr)[-2_000:]}")
