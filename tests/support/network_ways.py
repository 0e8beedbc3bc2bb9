"""Which ways NetworkPolicies leave open, by Kubernetes' rules: what any policy selects may do only what one allows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

Object = Mapping[str, Any]
OURS: Final = "gongji"


@dataclass(frozen=True, slots=True)
class Peer:
    """A pod by its labels and those of its namespace, or an address outside of the cluster."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: Mapping[str, str] | None = None
    """None: our own."""
    address: str = ""
    ruled: bool = True
    """Whether these policies are all there are for it; a broker's are its component's."""

    @property
    def is_ours(self) -> bool:
        """Whether these policies decide what it may do."""
        return self.ruled and self.namespace is None and not self.address


def allowed(policies: Sequence[Object], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether a packet may go."""
    return _lets("Egress", policies, source, target, port, protocol) and _lets(
        "Ingress", policies, target, source, port, protocol
    )


def _lets(direction: str, policies: Sequence[Object], ours: Peer, other: Peer, *packet: int | str) -> bool:
    if not ours.is_ours:
        return True
    specs = [each["spec"] for each in policies]
    ruling = [each for each in specs if direction in each["policyTypes"] and _selects(each["podSelector"], ours.labels)]
    rules = [rule for spec in ruling for rule in spec.get(direction.lower(), [])]
    return not ruling or any(_matches(rule, direction, other, *packet) for rule in rules)


def _matches(rule: Object, direction: str, other: Peer, *packet: int | str) -> bool:
    peers = rule.get("to" if direction == "Egress" else "from")
    if peers is not None and not any(_is(peer, other) for peer in peers):
        return False
    ports = rule.get("ports")
    return ports is None or any(_is_for(each, *packet) for each in ports)


def _is_for(stated: Object, port: int | str, protocol: int | str) -> bool:
    ports = range(stated["port"], stated.get("endPort", stated["port"]) + 1)
    return port in ports and stated["protocol"] == protocol


def _is(stated: Object, other: Peer) -> bool:
    if "ipBlock" in stated:
        return bool(other.address) and _within(stated["ipBlock"], other.address)
    if other.address:
        return False
    if "namespaceSelector" in stated:
        if other.namespace is None or not _selects(stated["namespaceSelector"], other.namespace):
            return False
    elif other.namespace is not None:
        return False
    return _selects(stated.get("podSelector", {}), other.labels)


def _within(block: Object, address: str) -> bool:
    def holds(networks: Iterable[str]) -> bool:
        return any(ip_address(address) in ip_network(each) for each in networks)

    return holds([block["cidr"]]) and not holds(block.get("except", []))


def _selects(selector: Object, labels: Mapping[str, str]) -> bool:
    # Only what the manifests use; another form must not be taken for "everything".
    assert set(selector) <= {"matchLabels", "matchExpressions"}, selector
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions), selector
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )
