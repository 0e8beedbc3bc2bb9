"""The catalogue is the one source of metrics: whole, bounded, and what the page says."""

import re
from pathlib import Path

import pytest

from gongji_monitoring.catalogue import DECLARING, metric_of, whole
from gongji_monitoring.files import ROOT, generated
from kit.metrics import Kind, Metric

CATALOGUE = whole()
SOURCES = sorted(
    file for folder in ("services", "deploy/local") for file in (ROOT / folder).glob("**/src/**/*.py") if file.is_file()
)
OF_TARGETS = {"job", "instance", "namespace", "service", "pod", "container", "endpoint", "version", "le", "quantile"}
"""What Prometheus and its operator say of the target themselves: ours would be renamed."""
PERSONAL = {"psn_no", "certno", "psn_name", "name", "tel", "phone", "msgid", "setl_id", "mdtrt_id", "fixmedins_code"}


def module_of(file: Path) -> str:
    return ".".join(file.with_suffix("").parts[file.parts.index("src") + 1 :])


@pytest.mark.parametrize("path", generated())
def test_generated_files_are_what_the_catalogue_says(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == generated()[path], "run `make monitoring`"


def test_every_module_that_declares_metrics_is_in_the_catalogue() -> None:
    declaring = {
        module_of(file)
        for file in SOURCES
        if re.search(r"\.(counter|gauge|histogram)\(\s*\"gongji_", file.read_text(encoding="utf-8"))
    }
    assert declaring == set(DECLARING)


def test_metrics_can_be_had_from_the_catalogue_only() -> None:
    makers = re.compile(
        r"^from prometheus_client\S* import .*\b(Counter|Gauge|Histogram|Summary|Info|Enum)\b", re.MULTILINE
    )
    assert [module_of(file) for file in SOURCES if makers.search(file.read_text(encoding="utf-8"))] == ["kit.metrics"]


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
class TestEachMetric:
    def test_says_what_it_means(self, metric: Metric) -> None:
        assert re.fullmatch(r"[A-Z1].{10,}\.", metric.meaning, re.DOTALL)

    def test_is_named_for_its_unit(self, metric: Metric) -> None:
        assert re.fullmatch(r"gongji_[a-z][a-z0-9_]*", metric.name)
        assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER)
        assert ("_seconds" in metric.name) is (metric.unit == "s")
        assert metric.name.endswith("_days_left") is (metric.unit == "days" and metric.kind is Kind.GAUGE)

    def test_has_bounded_labels_that_tell_nothing_of_a_person_or_an_institution(self, metric: Metric) -> None:
        assert len(metric.labels) <= 4
        for label in metric.labels:
            assert 1 <= label.bound <= 1000
            assert not (label.values and label.most)
            assert len(set(label.values)) == len(label.values)
            assert label.name not in PERSONAL | OF_TARGETS


def test_series_of_a_histogram_are_its_own() -> None:
    for suffix in ("_bucket", "_sum", "_count"):
        found = metric_of(f"gongji_grpc_duration_seconds{suffix}", CATALOGUE)
        assert found is not None
        assert found.name == "gongji_grpc_duration_seconds"
    assert metric_of("gongji_grpc_duration_seconds", CATALOGUE) is None
    assert metric_of("gongji_grpc_calls_total_sum", CATALOGUE) is None
    assert metric_of("gongji_settled", CATALOGUE) is None
