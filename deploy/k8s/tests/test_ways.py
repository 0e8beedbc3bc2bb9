"""The NetworkPolicies let the ways of the design through, and no other."""

from itertools import product

import pytest
from support.manifests import COMPONENT, NAME, PART_OF, SERVICES, of_kind, overlay
from support.network_ways import Peer, allowed

POLICIES = of_kind(overlay("prod"), "NetworkPolicy")
GRPC, METRICS, PROBES, RECEIPTS, KAFKA, POSTGRES, DNS = 7100, 7200, 7300, 7400, 9093, 5432, 53
PORTS = (GRPC, METRICS, PROBES, RECEIPTS, KAFKA, POSTGRES, DNS, 22, 80, 443, 465, 587, 4317, 6443, 9092)


def pod(service: str, component: str = "service") -> Peer:
    labels = {NAME: service, COMPONENT: component, PART_OF: "gongji"}
    return Peer(f"{service}" if component == "service" else f"{service}/{component}", labels)


def namespace(role: str) -> Peer:
    return Peer(role, {"app": "any"}, {"gongji/role": role})


PODS = [pod(service) for service in SERVICES]
JOBS = [
    *(pod(service, job) for service in SERVICES for job in ("migrate", "purge")),
    pod("binding", "audit"),
    pod("settlement", "audit"),
    pod("settlement", "close-day"),
    pod("settlement", "reconcile-holds"),
    *(pod(service, "command") for service in SERVICES),
]
DATABASES = [
    Peer(f"{service}-database", {"cnpg.io/cluster": f"{service}-database"}, ruled=False) for service in SERVICES
]
BROKER = Peer("broker", {"strimzi.io/cluster": "gongji", "strimzi.io/kind": "Kafka"}, ruled=False)
NAMES = Peer("dns", {"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})
GATEWAYS = [namespace(role) for role in ("institution-gateway", "portal", "receipt-gateway", "monitoring")]
STRANGERS = [
    Peer("stranger", {"app": "any"}),
    Peer("stranger elsewhere", {NAME: "settlement", COMPONENT: "service", PART_OF: "gongji"}, {"name": "other"}),
    Peer("false dns", {"k8s-app": "kube-dns"}, {"name": "other"}),
    Peer("false broker", {"strimzi.io/cluster": "other", "strimzi.io/kind": "Kafka"}, ruled=False),
]
PUBLIC = [Peer("public", address="203.0.113.9"), Peer("public v6", address="2001:db8::9")]
PRIVATE = [Peer(each, address=each) for each in ("10.0.0.1", "172.31.0.1", "192.168.1.1", "169.254.169.254", "fd00::1")]
EVERYBODY = [*PODS, *JOBS, *DATABASES, BROKER, NAMES, *GATEWAYS, *STRANGERS, *PUBLIC, *PRIVATE]
OURS = {each.name for each in [*PODS, *JOBS]}

THE_DESIGN = {
    # calls: institutions, the portal, and the one between services, with its jobs
    ("institution-gateway", "identity", GRPC),
    ("institution-gateway", "settlement", GRPC),
    *(("portal", service, GRPC) for service in SERVICES),
    ("settlement", "binding", GRPC),
    ("settlement/audit", "binding", GRPC),
    ("settlement/reconcile-holds", "binding", GRPC),
    ("settlement/command", "binding", GRPC),
    # events, rows
    *((f"{service}{what}", "broker", KAFKA) for service in SERVICES for what in ("", "/command")),
    *((service, f"{service}-database", POSTGRES) for service in SERVICES),
    *((job.name, f"{job.labels[NAME]}-database", POSTGRES) for job in JOBS),
    # telling people, and being told what became of it
    *(("notify", each.name, port) for each in PUBLIC for port in (443, 465, 587)),
    ("receipt-gateway", "notify", RECEIPTS),
    # looking after it
    *(("monitoring", service, METRICS) for service in SERVICES),
    *((name, "dns", DNS) for name in OURS),
}


def test_the_ways_that_are_open_are_those_of_the_design() -> None:
    found = {
        (source.name, target.name, port)
        for source, target, port in product(EVERYBODY, EVERYBODY, PORTS)
        if {source.name, target.name} & OURS and source != target and allowed(POLICIES, source, target, port)
    }
    assert found == THE_DESIGN


@pytest.mark.parametrize("source", [*PODS, *JOBS], ids=lambda each: each.name)
def test_names_are_asked_for_over_udp_too(source: Peer) -> None:
    assert allowed(POLICIES, source, NAMES, DNS, "UDP")
    assert not allowed(POLICIES, source, STRANGERS[2], DNS, "UDP")


def test_what_has_no_policy_of_its_own_is_cut_off() -> None:
    newcomer = Peer("newcomer", {"app": "any"})
    assert not any(allowed(POLICIES, newcomer, other, port) for other in PODS for port in PORTS)
    assert not any(allowed(POLICIES, other, newcomer, port) for other in EVERYBODY for port in PORTS)
