"""A copy of the manifests in which the files are there that an installation brings itself, such as its keys.

They are those that `gongji-local cluster-secrets` writes for a development cluster, so the API server sees its output.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml

from gongji_local.cluster_secrets import Cluster, write_cluster_secrets

SECRETS: Final = "components/plain-secrets"
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
        write_cluster_secrets(folder / SECRETS / "files", Cluster())
        yield folder


def missing_files(component: Path) -> list[Path]:
    """The files that a component's Secrets are made of and that are not there."""
    stated = yaml.safe_load((component / "kustomization.yaml").read_text(encoding="utf-8"))
    named = [each.rpartition("=")[2] for secret in stated["secretGenerator"] for each in secret["files"]]
    return [component / each for each in named if not (component / each).exists()]
