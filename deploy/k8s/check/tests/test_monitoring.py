from pathlib import Path

import yaml

COMPONENT = Path(__file__).parents[2] / "components/monitoring"


def test_every_dashboard_that_is_written_is_handed_to_grafana() -> None:
    stated = yaml.safe_load((COMPONENT / "kustomization.yaml").read_text())
    written = sorted(str(each.relative_to(COMPONENT)) for each in COMPONENT.glob("dashboards/*.json"))
    assert written
    assert stated["configMapGenerator"][0]["files"] == written


def test_what_is_scraped_has_the_label_by_which_rules_and_dashboards_ask() -> None:
    monitor = yaml.safe_load((COMPONENT / "pod-monitor.yaml").read_text())
    relabelings = monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
    assert "service" in {each["targetLabel"] for each in relabelings}


def test_what_is_scraped_is_the_job_by_which_rules_know_it() -> None:
    monitor = yaml.safe_load((COMPONENT / "pod-monitor.yaml").read_text())
    base = yaml.safe_load((COMPONENT.parents[1] / "base/kustomization.yaml").read_text())
    (labels,) = base["labels"]
    assert labels["includeTemplates"] is True
    job = labels["pairs"][monitor["spec"]["jobLabel"]]
    rules = (COMPONENT / "prometheus-rules.yaml").read_text()
    assert f'up{{job="{job}"' in rules
    assert "up{" not in rules.replace(f'up{{job="{job}"', "")
