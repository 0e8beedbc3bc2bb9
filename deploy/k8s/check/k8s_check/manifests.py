"""Manifests as kustomize builds them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml

from k8s_check.kubectl import Kubectl

Object = Mapping[str, Any]
CLUSTER_WIDE: Final = frozenset({"Namespace"})
"""Kinds that are in no namespace; ours have no other, and a new one is a decision."""
_BETWEEN: Final = "\n---\n"


@dataclass(frozen=True, slots=True)
class Built:
    """The documents of one overlay, word for word: reading and writing them again could change what they say."""

    documents: tuple[str, ...]

    @classmethod
    def of(cls, kubectl: Kubectl, folder: Path) -> Self:
        """Build a folder with the kustomize that kubectl contains."""
        return cls.read(kubectl.need("kustomize", str(folder)))

    @classmethod
    def read(cls, text: str) -> Self:
        """The documents of a stream."""
        return cls(tuple(each for each in text.split(_BETWEEN) if each.strip()))

    def objects(self) -> Iterator[Object]:
        """What the documents say."""
        for each in self.documents:
            yield yaml.safe_load(each)

    def without_groups(self, groups: Collection[str]) -> "Built":
        """Those whose API group is none of these."""
        return Built(tuple(each for each in self.documents if group_of(yaml.safe_load(each)) not in groups))

    def of_kind(self, *kinds: str) -> "Built":
        """Those of some kinds."""
        return Built(tuple(each for each in self.documents if yaml.safe_load(each)["kind"] in kinds))

    def namespaces(self) -> set[str]:
        """Where its objects are; empty stands for one that says nothing: it would go wherever kubectl points."""
        return {
            str(each["metadata"].get("namespace", "")) for each in self.objects() if each["kind"] not in CLUSTER_WIDE
        }

    def text(self) -> str:
        """As one stream again."""
        return _BETWEEN.join(self.documents)


def group_of(manifest: Object) -> str:
    """The API group of an object; empty for the core."""
    group, slash, _version = str(manifest.get("apiVersion", "")).partition("/")
    return group if slash else ""
