"""The capacity table is what the arithmetic says, and agrees with what the manifests and topics state."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.manifests import K8S, SERVICES, overlay, serving

from gongji_local.capacity import ASSUMED, MEASURED, STEPS, Needs, Step, needs, table
from kit.retention import BusRetention
from kit.topics import catalogue
from notify.config import Settings as NotifySettings

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "scale.md"
BORTALA = STEPS[2]


def sized(step: Step) -> Needs:
    return needs(step, MEASURED, ASSUMED)


def test_the_page_has_the_table_that_the_command_prints() -> None:
    # `.venv/bin/python -m gongji_local.capacity` prints it.
    assert table([sized(step) for step in STEPS]) in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("service", SERVICES)
def test_production_has_the_replicas_of_the_reference_region(service: str) -> None:
    stated = {
        each["path"]: each["value"] for each in yaml.safe_load((K8S / "overlays/prod/autoscaler.yaml").read_text())
    }
    assert sized(BORTALA).replicas[service] == (stated["/spec/minReplicas"], stated["/spec/maxReplicas"])


@pytest.mark.parametrize("service", SERVICES)
def test_pools_are_those_of_the_manifests_and_the_servers_have_room_for_them(service: str) -> None:
    settings = serving(overlay("prod"), service).config_maps[f"{service}-settings"]
    assert int(settings["GONGJI_DATABASE_POOL_SIZE"]) == BORTALA.pools[service]
    cluster = yaml.safe_load((K8S / "components/cloudnative-pg/every-cluster.yaml").read_text())
    room = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
    assert sized(BORTALA).connections[service] <= room


def test_topics_are_stated_as_the_reference_region_needs_them() -> None:
    keyed = [topic for topic in catalogue().topics.values() if topic.partitions > 1]
    assert {topic.partitions for topic in keyed} == {sized(BORTALA).partitions}
    assert {topic.retention_hours for topic in keyed} == {ASSUMED.topic_days * 24}


def test_what_goes_again_is_kept_as_long_as_the_services_keep_it() -> None:
    defaults = {
        name: field.default for name, field in {**BusRetention.model_fields, **NotifySettings.model_fields}.items()
    }
    month_days = 31
    assert ASSUMED.passing_days == {
        "outbox": defaults["outbox_kept_days"] + month_days,
        "inbox": defaults["inbox_kept_days"] + month_days,
        "deliveries": defaults["delivery_keep_days"],
    }


def test_a_settlement_a_second_by_hand() -> None:
    """Figures that somebody can check on paper."""
    measured = replace(
        MEASURED,
        core_ms={"settlement": 600.0},
        postgres_ms=1200.0,
        kept_bytes={"settlement": 1_000},
        passing_bytes={"outbox": {"settlement": 500}},
        topic_bytes=100,
        wal_bytes=2_000,
        audited_entries_a_second=1_000,
    )
    assumed = replace(ASSUMED, visits_a_year=365, busiest_day=1, peak_hour=1 / 24, peak_second=1, busy=0.6)
    found = needs(
        Step("by hand", 86_400, 1, {"settlement": 16}),
        measured,
        replace(assumed, years=1, room=1, passing_days={"outbox": 90}),
    )
    assert found.a_year == 86_400 * 365
    assert found.busiest_day == pytest.approx(86_400)
    assert found.peak_hour == pytest.approx(3_600)
    assert found.peak_second == pytest.approx(1)
    assert found.replicas["settlement"] in {(1, 2), (2, 4)}  # a core to the last bit, or just over
    assert found.postgres_cores in {2, 3}
    assert found.disk_bytes["settlement"] == pytest.approx(86_400 * (365 * 1_000 + 90 * 500))
    assert found.broker_bytes == pytest.approx(86_400 * 30 * 100)
    assert found.audit_hours == pytest.approx(86_400 * 365 * 2 / 1_000 / 3_600)
    assert found.archive_bytes == pytest.approx(86_400 * 30 * 2_000)


def test_the_audit_of_a_year_of_the_reference_region_ends_within_its_deadline() -> None:
    jobs = yaml.safe_load_all((K8S / "base/settlement/cronjobs.yaml").read_text())
    deadlines = {
        each["metadata"]["name"]: each["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] for each in jobs
    }
    assert sized(BORTALA).audit_hours * 3600 * ASSUMED.years < deadlines["settlement-audit"]


@given(fewer=st.integers(1, 2_000_000_000), more=st.integers(1, 2_000_000_000))
def test_more_people_never_need_less(fewer: int, more: int) -> None:
    small, large = (sized(replace(BORTALA, people=people)) for people in sorted((fewer, more)))
    for service in SERVICES:
        assert small.replicas[service] <= large.replicas[service]
        assert small.connections[service] <= large.connections[service]
        assert small.disk_bytes[service] <= large.disk_bytes[service]
    assert small.partitions <= large.partitions
    assert small.postgres_cores <= large.postgres_cores
    assert small.broker_bytes <= large.broker_bytes
    assert small.archive_bytes <= large.archive_bytes
    assert small.audit_hours <= large.audit_hours


@given(people=st.integers(1, 2_000_000_000), least=st.integers(1, 9))
def test_no_pod_is_without_a_partition_and_no_process_beyond_its_share_of_a_core(people: int, least: int) -> None:
    found = sized(replace(BORTALA, people=people, least_replicas=least))
    assert found.partitions % 6 == 0
    for service, (fewest, most) in found.replicas.items():
        assert least <= fewest < most <= found.partitions
        assert found.peak_second * MEASURED.core_ms[service] / 1000 / fewest <= ASSUMED.busy * 1.000_001
