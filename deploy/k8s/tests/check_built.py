"""What only kustomize can show, on what it builds; run by `make k8s-check`."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.manifest_settings import SECRETS, SERVING, environ_of, settings_class
from support.manifests import (
    K8S,
    OVERLAYS,
    SERVICES,
    Object,
    kustomization,
    of_kind,
    overlay,
    pods,
    runs,
    serving,
    template_of,
)

from k8s_check.binaries import ensure
from kit.config import load, variable

VERSION = "app.kubernetes.io/version"
RELEASE = str(kustomization(K8S / "base")["images"][0]["newTag"])
IN_NAMES = RELEASE.replace(".", "-")


def built(folder: Path) -> list[Object]:
    program = ensure(("kubectl",), os.environ) / "kubectl"
    finished = subprocess.run([program, "kustomize", folder], check=True, capture_output=True, text=True, timeout=60)
    return list(yaml.safe_load_all(finished.stdout))


@pytest.fixture(scope="module", params=OVERLAYS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def objects(name: str) -> list[Object]:
    return built(K8S / "overlays" / name)


def names(objects: Sequence[Object], kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in of_kind(objects, kind)}


def without_hash(name: str) -> str:
    return re.sub(r"-[a-z0-9]{10}$", "", name)


def test_every_process_takes_what_it_is_told(objects: list[Object], tmp_path: Path) -> None:
    roles = set()
    for number, run in enumerate(runs(objects)):
        settings = load(settings_class(run), environ_of(run, tmp_path / str(number)))
        assert settings.database_url.startswith(f"postgresql://gongji_{run.service}@")
        roles.add(run.service)
    assert roles == set(SERVICES)


def test_reading_without_kustomize_finds_the_same_variables(name: str, objects: list[Object], tmp_path: Path) -> None:
    read = {run.owner: environ_of(run, tmp_path) for run in runs(overlay(name))}
    versions = {run.owner: re.sub(r"-migrate-[\d-]+,", "-migrate-0-0-0,", run.owner) for run in runs(objects)}
    assert {versions[run.owner]: environ_of(run, tmp_path) for run in runs(objects)} == read


def test_settings_that_change_replace_the_pods(objects: list[Object]) -> None:
    maps = names(objects, "ConfigMap")
    assert {without_hash(each) for each in maps} == {
        "gongji-environment",
        "gongji-settings",
        "notify-channels",
        *(f"{service}-settings" for service in SERVICES),
    }
    assert {each for each in maps if each == without_hash(each)} == {"gongji-environment"}


def test_everything_that_is_named_is_there(objects: list[Object]) -> None:
    accounts, maps = names(objects, "ServiceAccount"), names(objects, "ConfigMap")
    for _, pod in pods(objects):
        assert pod["serviceAccountName"] in accounts
    assert {name for run in runs(objects) for name in _named_maps(run.container, run.pod)} == maps


def _named_maps(container: Any, pod: Any) -> set[str]:
    read = {each["configMapRef"]["name"] for each in container.get("envFrom", [])}
    read |= {
        each["valueFrom"]["configMapKeyRef"]["name"]
        for each in container.get("env", [])
        if "configMapKeyRef" in each.get("valueFrom", {})
    }
    return read | {each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each}


def test_the_version_is_in_the_migrations_names_and_on_everything(objects: list[Object]) -> None:
    assert names(objects, "Job") == {f"{service}-migrate-{IN_NAMES}" for service in SERVICES}
    for service in SERVICES:
        deployment = next(each for each in of_kind(objects, "Deployment") if each["metadata"]["name"] == service)
        labels = (deployment["metadata"]["labels"], template_of(deployment)["metadata"]["labels"])
        assert [each[VERSION] for each in labels] == [RELEASE, RELEASE]


def test_another_version_is_another_job_beside_another_registry(tmp_path: Path) -> None:
    above = os.path.relpath(K8S, tmp_path)
    tags = [{"name": f"gongji/{service}", "newTag": "12.3.45"} for service in SERVICES]
    inner = {"resources": [f"{above}/overlays/prod"], "images": tags, "transformers": [f"{above}/base/version"]}
    outer = {
        "resources": ["inner"],
        "images": [{"name": f"gongji/{each}", "newName": f"registry.example:5000/gongji/{each}"} for each in SERVICES],
    }
    (tmp_path / "inner").mkdir()
    inner["resources"], inner["transformers"] = [f"../{above}/overlays/prod"], [f"../{above}/base/version"]
    for folder, content in ((tmp_path, outer), (tmp_path / "inner", inner)):
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    objects = built(tmp_path)
    assert names(objects, "Job") == {f"{service}-migrate-12-3-45" for service in SERVICES}
    assert {str(run.container["image"]) for run in runs(objects)} == {
        f"registry.example:5000/gongji/{service}:12.3.45" for service in SERVICES
    }


def test_an_overlay_changes_no_migration_of_the_same_version() -> None:
    jobs = [of_kind(built(K8S / "overlays" / name), "Job") for name in ("dev", "prod")]
    assert jobs[0] == jobs[1]


def test_an_overlay_lives_in_one_namespace(name: str, objects: list[Object]) -> None:
    namespace = "gongji-sandbox" if name == "sandbox" else "gongji"
    assert names(objects, "Namespace") == {namespace}
    assert {each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"} == {namespace}
    (found,) = of_kind(objects, "Namespace")
    assert found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_dev_is_small_and_production_stands_in_three_zones() -> None:
    dev, prod = (built(K8S / "overlays" / each) for each in ("dev", "prod"))
    assert [each["spec"]["replicas"] for each in of_kind(dev, "Deployment")] == [1] * 4
    assert of_kind(dev, "HorizontalPodAutoscaler") == []
    assert all("replicas" not in each["spec"] for each in of_kind(prod, "Deployment"))
    assert {each["spec"]["minReplicas"] for each in of_kind(prod, "HorizontalPodAutoscaler")} == {3}
    for service in SERVICES:
        (spread,) = serving(prod, service).pod["topologySpreadConstraints"]
        assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "DoNotSchedule")


def test_the_database_has_room_for_every_pod_of_production() -> None:
    prod = built(K8S / "overlays" / "prod")
    cluster = yaml.safe_load((K8S / "components" / "cloudnative-pg" / "every-cluster.yaml").read_text())
    room = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
    most = {each["metadata"]["name"]: each["spec"]["maxReplicas"] for each in of_kind(prod, "HorizontalPodAutoscaler")}
    for service in SERVICES:
        pool = int(serving(prod, service).environ(SECRETS)["GONGJI_DATABASE_POOL_SIZE"])
        # One pod more in a roll-out; two that listen; ten for Jobs and people.
        assert (most[service] + 1) * (pool + 2) + 10 <= room


@pytest.mark.parametrize("installation", ["operators", "operators-sandbox"])
def test_with_components_every_process_takes_what_it_is_told(installation: str, tmp_path: Path) -> None:
    ours = [run for run in runs(built(K8S / "installations" / installation)) if run.service in SERVICES]
    assert len(ours) == len(runs(overlay("prod")))
    for number, run in enumerate(ours):
        environ = environ_of(run, tmp_path / str(number))
        assert set(environ) <= {variable(field) for field in settings_class(run).model_fields}
        load(settings_class(run), environ)


def test_an_overlay_written_as_documented_is_built(tmp_path: Path) -> None:
    text = (K8S.parents[1] / "docs" / "operations" / "install.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n# kustomization.yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "gongji" / "deploy").mkdir(parents=True)
    shutil.copytree(K8S, tmp_path / "gongji" / "deploy" / "k8s")
    (tmp_path / "kustomization.yaml").write_text(example)
    (tmp_path / "channels.json").write_text('{"SMS": {"adapter": "gateway", "url": "https://sms.example/v1"}}')
    objects = built(tmp_path)
    assert {str(run.container["image"]) for run in runs(objects)} == {
        f"registry.example:5000/gongji/{service}:{RELEASE}" for service in SERVICES
    }
    assert names(objects, "Job") == {f"{service}-migrate-{IN_NAMES}" for service in SERVICES}
    settings = load(SERVING["binding"], environ_of(serving(objects, "binding"), tmp_path / "binding"))
    assert settings.model_dump()["extension_days_max"] == 3653
    load(SERVING["notify"], environ_of(serving(objects, "notify"), tmp_path / "notify"))


def test_a_restore_written_as_documented_has_the_names_that_everything_goes_by(tmp_path: Path) -> None:
    text = (K8S.parents[1] / "docs" / "operations" / "backup-and-restore.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n# in the overlay's kustomization.yaml.*?\n(patches:.*?)```", text, re.DOTALL)
    operators = os.path.relpath(K8S / "installations" / "operators", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [operators]}) + example)
    before, after = (_clusters(built(folder)) for folder in (K8S / "installations" / "operators", tmp_path))
    assert after.keys() == before.keys() == {f"{service}-database" for service in SERVICES}
    made, restored = before.pop("settlement-database"), after.pop("settlement-database")
    assert after == before
    (archived,) = made["plugins"]
    (source,) = restored["externalClusters"]
    assert source["plugin"]["parameters"] == archived["parameters"]
    assert restored["plugins"][0]["parameters"]["barmanObjectName"] == archived["parameters"]["barmanObjectName"]
    assert restored["plugins"][0]["parameters"]["serverName"] != archived["parameters"]["serverName"]
    recovery, initdb = restored["bootstrap"]["recovery"], made["bootstrap"]["initdb"]
    assert recovery["source"] == source["name"]
    assert {name: recovery[name] for name in ("database", "owner", "secret")} == {
        name: initdb[name] for name in ("database", "owner", "secret")
    }
    changed = {"bootstrap", "externalClusters", "plugins"}
    assert {n: v for n, v in restored.items() if n not in changed} == {
        n: v for n, v in made.items() if n not in changed
    }


def _clusters(objects: Sequence[Object]) -> dict[str, Any]:
    found = [each for each in of_kind(objects, "Cluster") if each["apiVersion"].startswith("postgresql.cnpg.io/")]
    return {each["metadata"]["name"]: each["spec"] for each in found}


def test_the_patches_of_scaling_are_built(tmp_path: Path) -> None:
    text = (K8S.parents[1] / "docs" / "operations" / "scale.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n# kustomization.yaml of your overlay\n(.*?)```", text, re.DOTALL)
    above = os.path.relpath(K8S, tmp_path)
    around = {
        "resources": [f"{above}/overlays/prod"],
        "components": [f"{above}/components/cert-manager", f"{above}/components/cloudnative-pg"],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(around) + example)
    objects = built(tmp_path)
    scaled = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "HorizontalPodAutoscaler")}
    assert (scaled["settlement"]["minReplicas"], scaled["settlement"]["maxReplicas"]) == (4, 8)
    assert (scaled["binding"]["minReplicas"], scaled["binding"]["maxReplicas"]) == (3, 6)
    servers = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "Cluster")}
    room = int(servers["settlement-database"]["postgresql"]["parameters"]["max_connections"])
    pool = int(serving(objects, "settlement").environ(SECRETS)["GONGJI_DATABASE_POOL_SIZE"])
    assert (8 + 1) * (pool + 2) + 10 <= room
    assert room > int(servers["binding-database"]["postgresql"]["parameters"]["max_connections"])


def test_two_installations_under_one_prometheus_are_both_scraped_and_judged_once() -> None:
    both = [built(K8S / "installations" / each) for each in ("operators", "operators-sandbox")]
    for objects, namespace in zip(both, ("gongji", "gongji-sandbox"), strict=True):
        (monitor,) = of_kind(objects, "PodMonitor")
        assert monitor["metadata"]["namespace"] == namespace
        assert "namespaceSelector" not in monitor["spec"]  # its own namespace
    assert [len(of_kind(objects, "PrometheusRule")) for objects in both] == [1, 0]
    assert ["gongji-dashboards" in names(objects, "ConfigMap") for objects in both] == [True, False]
