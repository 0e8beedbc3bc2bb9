from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from k8s_check.staging import SECRETS, missing_files, staged

K8S = Path(__file__).parents[2]


def nodes_of(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from nodes_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from nodes_of(each)


def mounted() -> set[tuple[str, str]]:
    found = set()
    for file in K8S.glob("base/*/*.yaml"):
        for node in nodes_of(list(yaml.safe_load_all(file.read_text()))):
            if (secret := node.get("secret")) and not secret.get("optional"):
                found |= {(secret["name"], item["key"]) for item in secret["items"]}
            if reference := node.get("secretKeyRef"):
                found.add((reference["name"], reference["key"]))
    return found


def plain() -> set[tuple[str, str]]:
    stated = yaml.safe_load((K8S / SECRETS / "kustomization.yaml").read_text())
    return {
        (secret["name"], each.partition("=")[0].rpartition("/")[2])
        for secret in stated["secretGenerator"]
        for each in secret["files"]
    }


def test_the_plain_secrets_are_just_those_that_the_base_mounts() -> None:
    assert ("binding-database", "url") in mounted()
    assert plain() == mounted()


def test_a_check_has_a_file_for_each_and_the_tree_keeps_none() -> None:
    with staged(K8S) as copy:
        assert missing_files(copy / SECRETS) == []
        assert (copy / "base/kustomization.yaml").exists()
    assert not copy.exists()
    assert "/files/" in (K8S / SECRETS / ".gitignore").read_text()
