"""What the running services expose is what the catalogue declares: nothing more, nothing less, within its bounds."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.families import Families

from gongji_local.stack import Stack
from gongji_monitoring.catalogue import is_of_library, metric_of, whole

CATALOGUE = whole()
SERVICES = ("identity", "binding", "settlement", "notify")

Exposed = Mapping[str, Mapping[str, Collection[Mapping[str, str]]]]
"""By service and series, the labels of its samples."""


def page(stack: Stack, service: str) -> str:
    with urlopen(f"http://{stack.info.services[service].http_address}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def samples(text: str) -> Mapping[str, list[Mapping[str, str]]]:
    found: defaultdict[str, list[Mapping[str, str]]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append(sample.labels)
    return found


def declared_by(text: str) -> set[str]:
    """The names after `# TYPE`: also of metrics that have no sample yet."""
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


async def test_what_is_exposed_is_what_is_declared(families: Families, stack: Stack) -> None:
    family = await families.make({"father": 100_000})
    await family.settle("child", 1_000)
    await asyncio.to_thread(stack.quiesce, 120.0)
    pages = {service: await asyncio.to_thread(page, stack, service) for service in SERVICES}

    for service, text in pages.items():
        of_service = {name for name, metric in CATALOGUE.items() if metric.service == service}
        of_others = {name for name, metric in CATALOGUE.items() if metric.service not in {"", service}}
        names = {name for name in declared_by(text) if not is_of_library(name)}
        assert names <= set(CATALOGUE), f"{service} exposes what nobody declares"
        assert of_service <= names, f"{service} does not expose all of its own"
        assert not names & of_others, f"{service} exposes what belongs to another"
        for series, labels in samples(text).items():
            check(series, labels)
    assert set(CATALOGUE) <= set.union(*(declared_by(text) for text in pages.values())), "declared and never exposed"

    settled = samples(pages["settlement"])
    assert {"outcome": "SETTLED", "reason": ""} in settled["gongji_settlements_total"]
    method = "/gongji.settlement.v1.SettlementService/Settle"
    assert {"method": method, "principal": "institution", "code": "OK", "reason": ""} in settled[
        "gongji_grpc_calls_total"
    ]


def check(series: str, labels: Collection[Mapping[str, str]]) -> None:
    """A series is of a declared metric, with its labels, each within its bound."""
    if is_of_library(series):
        return
    metric = metric_of(series, CATALOGUE)
    assert metric is not None, f"{series} is of no declared metric"
    for each in labels:
        assert each.keys() - {"le"} == {label.name for label in metric.labels}, series
    for label in metric.labels:
        values = {each[label.name] for each in labels}
        assert len(values) <= label.bound, f"{series} has {len(values)} values of {label.name}"
        assert not label.values or values <= set(label.values), f"{series} has undeclared values of {label.name}"


def test_the_check_finds_what_is_wrong() -> None:
    for series, labels in (
        ("gongji_settled_total", {}),
        ("gongji_settlement_fen_total", {"direction": "taken"}),
        ("gongji_settlement_fen_total", {"direction": "lost", "account": "own"}),
    ):
        with pytest.raises(AssertionError):
            check(series, [labels])
    check("gongji_settlement_fen_total", [{"direction": "taken", "account": "own"}])
