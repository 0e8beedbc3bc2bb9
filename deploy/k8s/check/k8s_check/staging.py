"""A copy of the manifests in which the files are there that an installation brings itself, such as its keys."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml

from gongji_local.certificates import Certificates

SECRETS: Final = "components/plain-secrets"
PLACEHOLDER: Final = "not a secret: this stands where an installation has a file of its own\n"
_BESIDE: Final = "monitoring"
"""The folder of `deploy` that components build from."""


@contextmanager
def staged(k8s: Path) -> Iterator[Path]:
    """The copy's folder, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="gongji-manifests-") as name:
        folder = Path(name).resolve() / k8s.name
        shutil.copytree(k8s, folder, ignore=shutil.ignore_patterns("check", "files"))
        shutil.copytree(k8s / "check/control", folder / "check/control")
        if (k8s.parent / _BESIDE).is_dir():
            shutil.copytree(
                k8s.parent / _BESIDE, folder.parent / _BESIDE, ignore=shutil.ignore_patterns("src", "tests")
            )
        certificates = Certificates(folder.parent)
        for file in missing_files(folder / SECRETS):
            file.parent.mkdir(parents=True, exist_ok=True)
            _stand_in(file, certificates)
        yield folder


def _stand_in(file: Path, certificates: Certificates) -> None:
    # The server looks into Secrets of the type kubernetes.io/tls, so that a pair must be one.
    if file.stem == "tls":
        pair = certificates.service(file.parent.name)
        shutil.copyfile(pair.cert if file.suffix == ".crt" else pair.key, file)
    else:
        file.write_text(PLACEHOLDER, encoding="utf-8")


def missing_files(component: Path) -> list[Path]:
    """The files that a component's Secrets are made of and that are not there."""
    stated = yaml.safe_load((component / "kustomization.yaml").read_text(encoding="utf-8"))
    named = [each.rpartition("=")[2] for secret in stated["secretGenerator"] for each in secret["files"]]
    return [component / each for each in named if not (component / each).exists()]
