"""Six pretended nodes in three zones: as a region's cluster, so that zones can be spread over and a node be drained."""

from typing import Any, Final

import yaml

ZONES: Final = ("z1", "z2", "z3")
PER_ZONE: Final = 2
_ROOM: Final = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "200Gi"}


def node_names(zone: str) -> list[str]:
    """The nodes of a zone."""
    return [f"{zone}-n{number}" for number in range(1, PER_ZONE + 1)]


def nodes() -> str:
    """All nodes as manifests."""
    return yaml.safe_dump_all([_node(name, zone) for zone in ZONES for name in node_names(zone)])


def _node(name: str, zone: str) -> dict[str, Any]:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": zone,
        "topology.kubernetes.io/region": "652700",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "status": {"allocatable": _ROOM, "capacity": _ROOM},
    }
