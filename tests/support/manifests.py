"""The manifests of deploy/k8s as they are written: read without kustomize, which only `make k8s-check` has.

Patches are not applied; what they change is looked at in `deploy/k8s/tests/check_built.py`, on what kustomize builds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

Object = Mapping[str, Any]

K8S: Final = Path(__file__).resolve().parents[2] / "deploy" / "k8s"
SERVICES: Final = ("identity", "binding", "settlement", "notify")
OVERLAYS: Final = ("dev", "prod", "sandbox")
NAME: Final = "app.kubernetes.io/name"
COMPONENT: Final = "app.kubernetes.io/component"
PART_OF: Final = "app.kubernetes.io/part-of"


@cache
def overlay(name: str) -> tuple[Object, ...]:
    """The objects of an overlay, its ConfigMaps among them."""
    folder = K8S / "overlays" / name
    maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": each}, "data": data}
        for each, data in _config_maps(folder).items()
    ]
    return (*_resources(folder), *maps)


def kustomization(folder: Path) -> Object:
    """The kustomization.yaml of a folder."""
    read: Object = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    return read


def of_kind(objects: Sequence[Object], *kinds: str) -> list[Object]:
    """Those of some kinds."""
    return [each for each in objects if each["kind"] in kinds]


def _resources(folder: Path) -> Iterator[Object]:
    for each in kustomization(folder).get("resources", []):
        path = (folder / each).resolve()
        if path.is_dir():
            yield from _resources(path)
        else:
            yield from filter(None, yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _config_maps(folder: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for each in kustomization(folder).get("resources", []):
        if (folder / each).is_dir():
            found |= _config_maps((folder / each).resolve())
    for generator in kustomization(folder).get("configMapGenerator", []):
        before = found.get(generator["name"], {}) if generator.get("behavior") == "merge" else {}
        found[generator["name"]] = before | _generated(folder, generator)
    return found


def _generated(folder: Path, generator: Object) -> dict[str, str]:
    lines = list(generator.get("literals", []))
    for name in generator.get("envs", []):
        lines += [
            line for line in (folder / name).read_text(encoding="utf-8").splitlines() if line[:1] not in {"", "#"}
        ]
    pairs = dict(line.split("=", 1) for line in lines)
    return pairs | {name: (folder / name).read_text(encoding="utf-8") for name in generator.get("files", [])}


@dataclass(frozen=True, slots=True)
class Run:
    """One container: what it runs as, what it is told, and which files it finds."""

    owner: str
    """The object that it belongs to, and its own name."""
    pod: Object
    container: Object
    config_maps: Mapping[str, Mapping[str, str]]

    @property
    def service(self) -> str:
        """Whose image it runs."""
        return str(self.container["image"]).rpartition("/")[2].split(":")[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command and its options."""
        return tuple(self.container["args"])

    def environ(self, secrets: Mapping[tuple[str, str], str]) -> dict[str, str]:
        """Its variables; what is in Secrets comes from `secrets`, by name and key."""
        variables: dict[str, str] = {}
        for source in self.container.get("envFrom", []):
            variables |= self.config_maps[source["configMapRef"]["name"]]
        for each in self.container.get("env", []):
            variables[each["name"]] = self._value(each, secrets)
        return variables

    def _value(self, each: Object, secrets: Mapping[tuple[str, str], str]) -> str:
        if "value" in each:
            return str(each["value"])
        if "secretKeyRef" in each["valueFrom"]:
            reference = each["valueFrom"]["secretKeyRef"]
            return secrets[reference["name"], reference["key"]]
        reference = each["valueFrom"]["configMapKeyRef"]
        return self.config_maps[reference["name"]][reference["key"]]

    def files(self) -> dict[str, tuple[str, str]]:
        """Every file that is mounted: its path, and the Secret or ConfigMap and the key that it comes from."""
        sources = {volume["name"]: dict(self._items(volume)) for volume in self.pod["volumes"]}
        return {
            f"{mount['mountPath']}/{path}": source
            for mount in self.container["volumeMounts"]
            for path, source in sources[mount["name"]].items()
        }

    def _items(self, volume: Object) -> Iterator[tuple[str, tuple[str, str]]]:
        for source in volume.get("projected", {}).get("sources", []):
            if source["secret"].get("optional"):
                continue  # is there for a while only
            for item in source["secret"]["items"]:
                yield item["path"], (source["secret"]["name"], item["key"])
        if "configMap" in volume:
            name = volume["configMap"]["name"]
            for key in self.config_maps[name]:
                yield key, (name, key)

    def secrets(self) -> set[tuple[str, str]]:
        """The keys of Secrets that it reads."""
        variables = (each.get("valueFrom", {}).get("secretKeyRef") for each in self.container.get("env", []))
        read = {(each["name"], each["key"]) for each in variables if each}
        return read | {source for source in self.files().values() if source[0] not in self.config_maps}


def runs(objects: Sequence[Object]) -> list[Run]:
    """Every container of Deployments, Jobs and CronJobs, also those that run first."""
    maps = {each["metadata"]["name"]: each.get("data", {}) for each in of_kind(objects, "ConfigMap")}
    return [
        Run(f"{workload['kind']} {workload['metadata']['name']}, {container['name']}", pod, container, maps)
        for workload, pod in pods(objects)
        for container in [*pod.get("initContainers", []), *pod["containers"]]
    ]


def pods(objects: Sequence[Object]) -> Iterator[tuple[Object, Object]]:
    """Each workload with what its pods are."""
    for each in of_kind(objects, "Deployment", "Job", "CronJob"):
        yield each, template_of(each)["spec"]


def template_of(workload: Object) -> Object:
    """The template of a workload's pods."""
    spec = workload["spec"]["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else workload["spec"]
    template: Object = spec["template"]
    return template


def serving(objects: Sequence[Object], service: str) -> Run:
    """The container that serves."""
    return next(each for each in runs(objects) if each.owner == f"Deployment {service}, {service}")
