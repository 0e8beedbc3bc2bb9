"""Versions of the events' contracts are kept whole, once, and never written over."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from typer.testing import CliRunner

from gongji_local import contract_versions
from gongji_local.contract_versions import DESCRIPTORS, GOLDEN, keep
from kit.topics import catalogue

PROTOS = Path(__file__).parents[3] / "protos"
APP = typer.Typer()
APP.command()(contract_versions.main)


def run(name: str, versions: Path, protos: Path = PROTOS) -> tuple[int, str]:
    answer = CliRunner().invoke(APP, [name, "--protos", str(protos), "--versions", str(versions)])
    return answer.exit_code, answer.output


def test_a_kept_version_has_all_that_reading_its_events_takes_and_no_calls(tmp_path: Path) -> None:
    assert run("0.2.0", tmp_path) == (0, "")
    golden = json.loads((tmp_path / "0.2.0" / GOLDEN).read_text(encoding="utf-8"))
    stated = {name: (topic.name, topic.partitions) for topic in catalogue().topics.values() for name in topic.schema}
    assert {name: (event["topic"], event["partitions"]) for name, event in golden.items()} == stated
    kept = FileDescriptorSet.FromString((tmp_path / "0.2.0" / DESCRIPTORS).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in kept.file:
        pool.Add(file)
        assert not file.service
    for name in golden:
        assert pool.FindMessageTypeByName(name).full_name == name


def test_the_same_contracts_are_kept_as_the_same_bytes(tmp_path: Path) -> None:
    keep(PROTOS, tmp_path / "1")
    keep(PROTOS, tmp_path / "2")
    for name in (DESCRIPTORS, GOLDEN):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_version_that_was_kept_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "0.2.0").mkdir()
    code, told = run("0.2.0", tmp_path)
    assert code == 1
    assert "is there already" in told
    assert list((tmp_path / "0.2.0").iterdir()) == []


def test_an_event_without_a_golden_message_is_named_and_nothing_is_kept(tmp_path: Path) -> None:
    contracts = shutil.copytree(PROTOS, tmp_path / "protos", ignore=shutil.ignore_patterns("gen", "versions"))
    lost = contracts / "examples" / "gongji.settlement.events.v1.AccountDebited.hex"
    lost.unlink()
    code, told = run("0.2.0", tmp_path / "versions", contracts)
    assert code == 1
    assert str(lost) in told
    assert not (tmp_path / "versions").exists()


@pytest.mark.parametrize("name", ["", "..", "../0.1", "0.1/0.2", "next", "0.1.", "-1"])
def test_what_is_no_version_is_refused_as_a_name(name: str, tmp_path: Path) -> None:
    assert run(name, tmp_path / "versions")[0] != 0
    assert list(tmp_path.iterdir()) == []
