"""What the Dockerfile has to say, and that it is read as it is meant."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from gongji_images.assemble import members
from gongji_images.dockerfile import DOCKERFILE, ROOT, DockerfileError, Stage, copies, environment, stages
from gongji_images.tree import SERVICES


@pytest.fixture(scope="module")
def plan() -> Mapping[str, Stage]:
    return stages(DOCKERFILE.read_text(encoding="utf-8"))


def test_every_service_has_a_target_that_serves_when_nothing_else_is_asked(plan: Mapping[str, Stage]) -> None:
    assert {path.parent.name for path in ROOT.glob("services/*/migrations")} == set(SERVICES)
    for service in SERVICES:
        assert plan[service].last("ENTRYPOINT").argv == ("/opt/gongji/bin/python", "-m", service)
        assert plan[service].last("CMD").argv == ("serve",)


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_the_base_and_one_tree(plan: Mapping[str, Stage], service: str) -> None:
    assert plan[service].parent == "runtime"
    assert plan["runtime"].parent == "${BASE}"
    assert [each.rest for each in plan[service].all("COPY")] == [f"--from=build-{service} /opt/gongji /opt/gongji"]
    assert not [each for name in ("runtime", service) for each in plan[name].all("RUN") + plan[name].all("ADD")]


@pytest.mark.parametrize("service", SERVICES)
def test_a_tree_is_made_of_the_members_that_assemble_packs(plan: Mapping[str, Stage], service: str) -> None:
    copied = [source for name in ("members", f"build-{service}") for source, _target in copies(plan[name])]
    assert copied == [f"{member}/" for member in members(service)]
    argv = plan[f"build-{service}"].last("RUN").argv
    assert argv[:3] == ("python3", "/src/assemble.py", "tree")
    assert argv[argv.index("--service") + 1] == service
    assert argv[argv.index("--tree") + 1] == "/opt/gongji"


def test_it_runs_as_a_user_by_number_with_no_health_check_of_its_own(plan: Mapping[str, Stage]) -> None:
    runtime = plan["runtime"]
    assert runtime.last("USER").rest == "10001:10001"
    assert runtime.last("HEALTHCHECK").rest == "NONE"
    assert runtime.last("STOPSIGNAL").rest == "SIGTERM"
    assert not [each for service in SERVICES for each in plan[service].all("USER")]


def test_nothing_is_written_beside_tmp(plan: Mapping[str, Stage]) -> None:
    variables = environment(plan["runtime"])
    assert variables["HOME"] == "/tmp"  # noqa: S108 - the container's
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert variables["PATH"].startswith("/opt/gongji/bin:")


def test_every_image_says_what_it_is(plan: Mapping[str, Stage]) -> None:
    labels = {key for each in plan["runtime"].all("LABEL") for key in each.pairs}
    assert labels == {
        f"org.opencontainers.image.{name}"
        for name in ("vendor", "licenses", "version", "revision", "created", "base.name")
    }
    for service in SERVICES:
        said = plan[service].last("LABEL").pairs
        assert said["org.opencontainers.image.title"] == f"gongji/{service}"
        assert said["org.opencontainers.image.description"]


def test_the_base_has_no_default_that_somebody_would_forget_to_change() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert re.findall(r"^ARG BASE.*$", text, re.MULTILINE) == ["ARG BASE"] * 2
    assert {line.split()[1] for line in re.findall(r"^FROM .*$", text, re.MULTILINE)} <= {
        "${BASE}",
        *stages(text),
    }


def test_what_is_copied_is_sent_and_nothing_else(plan: Mapping[str, Stage]) -> None:
    sent = Path(f"{DOCKERFILE}.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {source for stage in plan.values() for source, _target in copies(stage)}
    assert sent[1] == "*"
    assert {line[1:] for line in sent if line.startswith("!")} == copied


def test_lines_are_joined_and_comments_are_not_read() -> None:
    text = (
        '# a comment\nARG BASE\nFROM ${BASE} AS one\n# another\nENV A="1" \\\n# within\n    B="x y"\nFROM one AS two\n'
    )
    found = stages(text)
    assert environment(found["one"]) == {"A": "1", "B": "x y"}
    assert found["two"].parent == "one"


def test_a_command_for_a_shell_is_refused() -> None:
    stage = stages("FROM x AS y\nRUN apt-get install gcc\n")["y"]
    with pytest.raises(DockerfileError, match="JSON form"):
        _ = stage.last("RUN").argv


def test_a_stage_without_an_instruction_says_so() -> None:
    with pytest.raises(DockerfileError, match="y has no USER"):
        stages("FROM x AS y\n")["y"].last("USER")
