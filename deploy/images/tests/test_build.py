"""How the images are built where something answers, and what is said where nothing does."""

from collections.abc import Callable, Sequence

import pytest

from gongji_images import build
from gongji_images.base import BaseImageRefused
from gongji_images.dockerfile import DOCKERFILE, ROOT
from gongji_images.errors import ImagesError

BASE = "python:3.13@sha256:" + "0f" * 32
STAMP = build.Stamp("1.2.3", "c0ffee", "2026-01-02T03:04:05+08:00")


def answers(*names: str) -> build.Ask:
    return lambda question: "" if question[0] in names else f"{question[0]} sleeps"


def test_the_first_that_answers_builds() -> None:
    assert build.answering(answers("docker", "buildah")) == "docker"
    assert build.answering(answers("buildah")) == "buildah"


def test_where_none_answers_it_says_of_each_why_not_and_what_there_is_instead() -> None:
    with pytest.raises(build.NoBuilder, match=r"docker: docker sleeps; buildah: buildah sleeps.*make image-check"):
        build.answering(answers())


def test_a_program_that_is_not_there_is_not_installed() -> None:
    assert build.asked(["no-such-program-of-anybody"]) == "not installed"


def test_a_program_that_fails_is_quoted() -> None:
    assert build.asked(["sh", "-c", "echo starting; echo no daemon >&2; exit 1"]) == "no daemon"
    assert build.asked(["sh", "-c", "exit 7"]) == "ended with 7"
    assert not build.asked(["sh", "-c", "echo 29.1"])


@pytest.mark.parametrize("builder", ["docker", "buildah"])
def test_a_build_names_target_base_and_labels(builder: str) -> None:
    command = build.command(builder, "binding", BASE, STAMP, "registry.example/")
    assert command[:2] == [builder, "build"]
    assert command[command.index("--target") + 1] == "binding"
    assert command[command.index("--tag") + 1] == "registry.example/gongji/binding:1.2.3"
    assert command[command.index("--file") + 1] == str(DOCKERFILE)
    assert command[-1] == str(ROOT)
    given = {command[at + 1] for at, word in enumerate(command) if word == "--build-arg"}
    assert given == {f"BASE={BASE}", "VERSION=1.2.3", "REVISION=c0ffee", "CREATED=2026-01-02T03:04:05+08:00"}


def test_buildah_is_told_what_not_to_send() -> None:
    command = build.command("buildah", "notify", BASE, STAMP, "")
    assert command[command.index("--ignorefile") + 1] == f"{DOCKERFILE}.dockerignore"


def told(changed: str) -> Callable[..., str]:
    def git(*arguments: str) -> str:
        return {"status": changed, "rev-parse": "c0ffee", "log": "2026-01-02T03:04:05+08:00"}[arguments[0]]

    return git


def test_a_release_is_made_from_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_git", told(" M Makefile"))
    with pytest.raises(ImagesError, match="in no commit"):
        build.stamp("notify", release=True)
    assert build.stamp("notify", release=False).revision == "c0ffee-changed"


def test_a_clean_checkout_is_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_git", told(""))
    assert build.stamp("notify", release=True).revision == "c0ffee"
    assert build.stamp("notify", release=True).version == "0.1.0"


def test_a_release_without_digest_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(question: Sequence[str]) -> str:
        raise AssertionError(question)

    monkeypatch.setattr(build, "asked", never)
    assert build.main(["--release", "--base", "python:3.13"]) == BaseImageRefused.exit_status
    assert "has no digest" in capsys.readouterr().err


def test_where_nothing_answers_the_command_ends_with_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "asked", answers())
    monkeypatch.setattr(build, "_git", told(""))
    assert build.main(["--base", BASE]) == build.NoBuilder.exit_status
    assert "nothing was built" in capsys.readouterr().err
    assert len({1, BaseImageRefused.exit_status, build.NoBuilder.exit_status}) == 3
