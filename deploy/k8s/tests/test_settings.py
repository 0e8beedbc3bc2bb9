"""Every process of the manifests is told what its settings take, and nothing that they do not know."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.manifest_settings import COMMANDS, SERVING, environ_of, settings_class
from support.manifests import OVERLAYS, SERVICES, Run, overlay, pods, runs, serving
from typer.main import get_command

import binding.cli
import binding.main
import identity.cli
import identity.main
import notify.cli
import notify.main
import settlement.cli
import settlement.main
from kit.config import ConfigurationError, load, variable
from kit.lifecycle import Application

ALL = [pytest.param(run, id=f"{name}: {run.owner}") for name in OVERLAYS for run in runs(overlay(name))]
CLIS = {
    "identity": identity.cli.app,
    "binding": binding.cli.app,
    "settlement": settlement.cli.app,
    "notify": notify.cli.app,
}
NOT_FOR_PRODUCTION = {"CLOCK_OFFSET_FILE", "FAILPOINTS", "GRPC_REFLECTION", "SANDBOX_INSTITUTIONS", "SMS_DIRECTORY"}


@pytest.mark.parametrize("run", ALL)
def test_its_settings_know_every_variable_that_it_is_told(run: Run, tmp_path: Path) -> None:
    # Settings leave unknown variables alone, so a typing error would be a default that nobody chose.
    known = {variable(field) for field in settings_class(run).model_fields}
    assert set(environ_of(run, tmp_path)) <= known


@pytest.mark.parametrize("run", ALL)
def test_its_settings_take_what_it_is_told_and_miss_nothing(run: Run, tmp_path: Path) -> None:
    settings = load(settings_class(run), environ_of(run, tmp_path))
    assert settings.database_url.startswith(f"postgresql://gongji_{run.service}@")


@pytest.mark.parametrize("run", ALL)
def test_it_mounts_no_file_that_nothing_reads(run: Run, tmp_path: Path) -> None:
    told = {value.removeprefix(str(tmp_path)) for value in environ_of(run, tmp_path).values()}
    # The URL of the database names its CA and the file with the password.
    assert set(run.files()) - told == {"/etc/gongji/database/ca.crt", "/etc/gongji/database/password"}


@pytest.mark.parametrize("run", ALL)
def test_its_command_exists(run: Run) -> None:
    commands = getattr(get_command(CLIS[run.service]), "commands")  # noqa: B009 - of a group, which mypy cannot know
    assert run.arguments[0] in commands


def test_every_stated_command_is_run_somewhere() -> None:
    found = {(run.service, run.arguments[0]) for run in runs(overlay("prod"))}
    assert found == set(COMMANDS)


@pytest.mark.parametrize("service", SERVICES)
def test_production_is_told_nothing_that_only_others_may_have(service: str, tmp_path: Path) -> None:
    environ = environ_of(serving(overlay("prod"), service), tmp_path)
    assert (environ["GONGJI_ENVIRONMENT"], environ["GONGJI_TRUST_DOMAIN"]) == ("production", "gongji")
    assert not {f"GONGJI_{name}" for name in NOT_FOR_PRODUCTION} & set(environ)
    assert environ.get("GONGJI_LOG_LEVEL") == "INFO"


def test_the_sandbox_has_institutions_that_production_would_refuse(tmp_path: Path) -> None:
    environ = environ_of(serving(overlay("sandbox"), "settlement"), tmp_path)
    assert environ["GONGJI_SANDBOX_INSTITUTIONS"].startswith("H65279900001,")
    with pytest.raises(ConfigurationError, match="GONGJI_SANDBOX_INSTITUTIONS must be empty in production"):
        load(SERVING["settlement"], environ | {"GONGJI_ENVIRONMENT": "production", "GONGJI_TRUST_DOMAIN": "gongji"})


def test_no_two_overlays_share_a_trust_domain(tmp_path: Path) -> None:
    domains = [
        environ_of(serving(overlay(each), "binding"), tmp_path / each)["GONGJI_TRUST_DOMAIN"] for each in OVERLAYS
    ]
    assert len(set(domains)) == len(OVERLAYS)


BUILDERS: dict[str, Callable[..., Application]] = {
    "identity": lambda settings: identity.main.build(settings).application,
    "binding": binding.main.build,
    "settlement": settlement.main.build,
    "notify": notify.main.build,
}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_pod_answers_the_kubelet_and_has_more_time_to_end_than_its_longest_stop(
    service: str, tmp_path: Path
) -> None:
    run = serving(overlay("prod"), service)
    application = BUILDERS[service](load(SERVING[service], environ_of(run, tmp_path)))
    pre_stop_seconds = run.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    # Endpoints leave within a few seconds of the pod's being told to end; calls come until then.
    assert pre_stop_seconds >= 5
    assert [part.name for part in application._parts if "probes" in part.name] == ["probes", "gRPC probes"]
    assert run.pod["terminationGracePeriodSeconds"] > pre_stop_seconds + application.longest_stop_seconds


def test_every_pod_of_the_manifests_was_looked_at() -> None:
    found = [run for run in runs(overlay("prod")) if run.service in SERVICES]
    assert len(found) == sum(
        len(pod["containers"]) + len(pod.get("initContainers", [])) for _, pod in pods(overlay("prod"))
    )
    assert len(found) == 4 * 5 + 4
