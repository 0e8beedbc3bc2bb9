"""What components add to the ways of the design, and that they add nothing else."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.manifests import (
    COMPONENT,
    K8S,
    NAME,
    PART_OF,
    SERVICES,
    Object,
    kustomization,
    of_kind,
    overlay,
    template_of,
)
from support.network_ways import Peer, allowed

COMPONENTS = K8S / "components"
WORKLOADS = of_kind(overlay("prod"), "Deployment", "Job", "CronJob")


def ours(service: str, component: str) -> Peer:
    return Peer(f"{service}/{component}", {NAME: service, COMPONENT: component, PART_OF: "gongji"})


LABELS = [template_of(each)["metadata"]["labels"] for each in WORKLOADS]
OURS = [
    *(ours(each[NAME], each[COMPONENT]) for each in LABELS),
    *(ours(service, "command") for service in SERVICES),
]
SERVING = [each for each in OURS if each.labels[COMPONENT] in {"service", "command"}]
"""What does all that its service does."""
NAMES = Peer("dns", {"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})
ELSEWHERE = [
    *(Peer(role, {"app": "any"}, {"gongji/role": role}) for role in ("institution-gateway", "portal", "monitoring")),
    Peer("stranger", {"app": "any"}),
    Peer("stranger elsewhere", {NAME: "settlement", COMPONENT: "service", PART_OF: "gongji"}, {"name": "other"}),
    Peer("public", address="203.0.113.9"),
]
DOCUMENTED = Peer("servers of an installation", address="192.0.2.7")
COLLECTOR = Peer("otel-collector", {"app.kubernetes.io/name": "otel-collector"})
DATABASES = [Peer(f"{service}-database", {"cnpg.io/cluster": f"{service}-database"}) for service in SERVICES]
OPERATOR = Peer("operator", {"app": "any"}, {"kubernetes.io/metadata.name": "cnpg-system"})
BROKER = Peer("broker", {"strimzi.io/cluster": "gongji", "strimzi.io/kind": "Kafka"})
OTLP, KAFKA, POSTGRES, STATUS, DATABASE_METRICS, DNS, HTTPS, API_SERVER = 4317, 9093, 5432, 8000, 9187, 53, 443, 6443
ASKED = (
    22,
    DNS,
    80,
    HTTPS,
    OTLP,
    POSTGRES,
    API_SERVER,
    7100,
    7200,
    STATUS,
    9090,
    9091,
    9092,
    KAFKA,
    9094,
    DATABASE_METRICS,
)

Way = tuple[str, str, int]

NOTIFY_TELLS = {("notify/service", DOCUMENTED.name, HTTPS)}
"""The documentation's addresses are as public as any gateway's."""


def policies(*components: str) -> list[Object]:
    """Of production with components: what they delete is gone."""
    found = {each["metadata"]["name"]: each for each in of_kind(overlay("prod"), "NetworkPolicy")}
    for name in components:
        folder = COMPONENTS / name
        for stated in kustomization(folder).get("patches", []):
            if "$patch: delete" in stated.get("patch", ""):
                found = {each: policy for each, policy in found.items() if not _chosen(stated["target"], each)}
        found |= {each["metadata"]["name"]: each for each in _of(folder)}
    return list(found.values())


def _chosen(target: Any, name: str) -> bool:
    words = target["name"].strip("()")
    prefix, _, suffix = words.partition(")")
    return name in {f"{each}{suffix}" for each in prefix.split("|")}


def _of(folder: Path) -> list[Object]:
    return of_kind(list(yaml.safe_load_all((folder / "network-policy.yaml").read_text())), "NetworkPolicy")


def ways(rules: list[Object], among: list[Peer], about: list[Peer]) -> set[Way]:
    """Every way that is open from or to one of `about`."""
    named = {each.name for each in about}
    return {
        (source.name, target.name, port)
        for source, target, port in product(among, among, ASKED)
        if source != target and named & {source.name, target.name} and allowed(rules, source, target, port)
    }


def at_large(*peers: Peer) -> list[Peer]:
    """The same with no policy of their own, so that what keeps the others apart from them is seen alone."""
    return [replace(each, ruled=False) for each in peers]


def of_ours(found: set[Way]) -> set[Way]:
    names = {each.name for each in OURS}
    return {each for each in found if names & {each[0], each[1]}}


def test_kafka_elsewhere_is_reached_at_its_addresses_alone() -> None:
    rules = policies("external-kafka")
    found = ways(rules, [*OURS, DOCUMENTED, *at_large(BROKER)], [DOCUMENTED, BROKER])
    assert of_ours(found) - NOTIFY_TELLS == {(each.name, DOCUMENTED.name, KAFKA) for each in SERVING}


def test_postgresql_elsewhere_is_reached_at_its_addresses_alone() -> None:
    rules = policies("external-postgres")
    found = ways(rules, [*OURS, DOCUMENTED, *at_large(*DATABASES)], [DOCUMENTED, *DATABASES])
    assert of_ours(found) - NOTIFY_TELLS == {(each.name, DOCUMENTED.name, POSTGRES) for each in OURS}


BOTH_SIDES = pytest.mark.parametrize("callers", [OURS, at_large(*OURS)], ids=["ways out and in", "ways in alone"])


@BOTH_SIDES
def test_spans_go_to_the_collector_and_from_there_alone_on(callers: list[Peer]) -> None:
    rules = policies("tracing", "otel-collector")
    found = ways(rules, [*callers, COLLECTOR, NAMES, *ELSEWHERE], [COLLECTOR])
    assert {each for each in found if each[1] == COLLECTOR.name} == {
        (each.name, COLLECTOR.name, OTLP) for each in SERVING
    }
    assert {port for source, _, port in found if source == COLLECTOR.name} == {OTLP, HTTPS, DNS}


@BOTH_SIDES
def test_a_database_is_reached_by_its_own_service_and_by_whoever_looks_after_it(callers: list[Peer]) -> None:
    rules = policies("cloudnative-pg")
    others = [*callers, OPERATOR, BROKER, NAMES, *ELSEWHERE]
    for service, database in zip(SERVICES, DATABASES, strict=True):
        found = ways(rules, [*others, *DATABASES], [database])
        assert {each for each in found if each[1] == database.name} == {
            *((each.name, database.name, POSTGRES) for each in OURS if each.name.partition("/")[0] == service),
            *((OPERATOR.name, database.name, port) for port in (POSTGRES, STATUS)),
            ("monitoring", database.name, DATABASE_METRICS),
        }
        assert {port for source, _, port in found if source == database.name} == {HTTPS, API_SERVER, DNS}
        twin = Peer(f"{database.name} again", database.labels)
        assert ways(rules, [database, twin], [twin]) == {
            (one, other, port)
            for one, other in ((database.name, twin.name), (twin.name, database.name))
            for port in (POSTGRES, STATUS)
        }


def test_brokers_reach_each_other_and_the_api_server_and_no_service() -> None:
    rules = [each for each in policies("strimzi") if each["metadata"]["name"] in {"kafka-pods", "names"}]
    # Who comes in is the operator's to say; so only the ways out are looked at.
    strangers = [Peer(each.name, each.labels, {"name": "another"}) for each in [*OURS, *DATABASES]]
    twin = Peer("another broker", BROKER.labels)
    found = ways(rules, [BROKER, twin, NAMES, *strangers, *ELSEWHERE], [BROKER])
    assert {port for source, target, port in found if (source, target) == (BROKER.name, twin.name)} == {
        *(9090, 9091, 9092, KAFKA),
        *(HTTPS, API_SERVER),
    }
    assert {port for source, target, port in found if source == BROKER.name and target != twin.name} == {
        *(HTTPS, API_SERVER),
        DNS,
    }
