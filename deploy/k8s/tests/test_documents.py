"""What operators read is what the manifests need, and all versions are one."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from support.manifests import K8S, OVERLAYS, SERVICES, kustomization, of_kind, overlay, runs

from k8s_check.rollout import BUT_WHO_CALLS
from kit.crypto import KeyRing
from kit.signing import TokenSigner

ROOT = K8S.parents[1]
INSTALL = ROOT / "docs" / "operations" / "install.md"
ROW = re.compile(r"^\| `(?P<name>[a-z-]+)` \| (?P<keys>(?:`[A-Za-z.-]+`(?:, )?)+) \|", re.MULTILINE)


def test_the_secrets_that_are_documented_are_those_that_are_read() -> None:
    documented = {
        (row["name"], key)
        for row in ROW.finditer(INSTALL.read_text(encoding="utf-8"))
        for key in re.findall(r"`([^`]+)`", row["keys"])
    }
    assert documented == set().union(*(run.secrets() for run in runs(overlay("prod"))))


def test_the_component_that_makes_secrets_of_files_makes_those_that_are_read() -> None:
    made = {
        (secret["name"], re.split("[=/]", file)[0] if "=" in file else file.rpartition("/")[2])
        for secret in kustomization(K8S / "components" / "plain-secrets")["secretGenerator"]
        for file in secret["files"]
    }
    assert made == set().union(*(run.secrets() for run in runs(overlay("prod"))))


def test_rings_made_as_documented_can_be_used(tmp_path: Path) -> None:
    (script,) = re.findall(r"```sh\n(umask 077\n.*?)```", INSTALL.read_text(encoding="utf-8"), re.DOTALL)
    subprocess.run(["/bin/sh", "-euc", script], cwd=tmp_path, check=True, timeout=30)
    rings = [*(tmp_path / service / "keyring.json" for service in SERVICES), tmp_path / "code-keyring.json"]
    assert len({KeyRing.load(ring).blind_index("3", "any") for ring in rings}) == len(SERVICES) + 1
    for ring in (tmp_path / "credential-keyring.json", tmp_path / "notify" / "gateway-keyring.json"):
        assert TokenSigner(ring).sign(b"any")
        assert ring.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_secret_is_in_the_manifests(name: str) -> None:
    assert of_kind(overlay(name), "Secret") == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_folder_is_told_of(name: str) -> None:
    assert f"`overlays/{name}`" in INSTALL.read_text(encoding="utf-8")


@pytest.mark.parametrize("service", SERVICES)
def test_the_manifests_are_of_the_version_of_the_service(service: str) -> None:
    project = tomllib.loads((ROOT / "services" / service / "pyproject.toml").read_text(encoding="utf-8"))
    tags = {each["name"]: each["newTag"] for each in kustomization(K8S / "base")["images"]}
    assert tags[f"gongji/{service}"] == project["project"]["version"]
    # base/version puts it into a Job's name part by part.
    assert re.fullmatch(r"\d+\.\d+\.\d+", tags[f"gongji/{service}"])


def test_versions_are_named_in_one_place() -> None:
    assert all(":" not in str(run.container["image"]) for run in runs(overlay("prod")))


def test_an_upgrade_applies_who_calls_after_whom_it_calls() -> None:
    text = (ROOT / "docs" / "operations" / "upgrade.md").read_text(encoding="utf-8")
    assert f"-l '{BUT_WHO_CALLS}'" in text  # what `make k8s-rollout` does
