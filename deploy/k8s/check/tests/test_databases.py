from pathlib import Path
from typing import Any

import yaml

from k8s_check.crds import UNCHECKED
from k8s_check.manifests import group_of
from k8s_check.topics import SERVICES

COMPONENT = Path(__file__).parents[2] / "components/cloudnative-pg"


def objects(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((COMPONENT / file).read_text()))


def test_each_service_has_a_cluster_and_a_nightly_backup_of_its_own() -> None:
    of_kind = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in objects("clusters.yaml")}
    for name in SERVICES:
        database = of_kind["Cluster", f"{name}-database"]["bootstrap"]["initdb"]
        assert database["owner"] == database["database"] == f"gongji_{name}"
        assert database["secret"] == {"name": f"{name}-database"}
        assert of_kind["ScheduledBackup", f"{name}-database"]["cluster"] == {"name": f"{name}-database"}
    assert len(of_kind) == 2 * len(SERVICES)


def test_what_is_acknowledged_is_on_two_machines() -> None:
    synchronous = objects("every-cluster.yaml")[0]["spec"]["postgresql"]["synchronous"]
    assert synchronous == {"method": "any", "number": 1, "dataDurability": "required"}


def test_each_archive_has_a_name_of_its_own() -> None:
    plugins = [each["spec"]["plugins"][0] for each in objects("clusters.yaml") if each["kind"] == "Cluster"]
    assert all(plugin["isWALArchiver"] for plugin in plugins)
    assert len({plugin["parameters"]["serverName"] for plugin in plugins}) == len(SERVICES)


def test_a_database_lets_its_own_service_in_alone() -> None:
    for policy in objects("network-policy.yaml"):
        name = policy["metadata"]["name"].removesuffix("-database-pods")
        clients = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
        assert clients["app.kubernetes.io/name"] == name


def test_what_cannot_be_applied_here_is_known_to_be_only_built() -> None:
    groups = {group_of(each) for file in ("clusters.yaml", "object-store.yaml") for each in objects(file)}
    assert groups == UNCHECKED
