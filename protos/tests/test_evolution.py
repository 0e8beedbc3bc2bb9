"""Events last: what any earlier version sent is read today, and what is sent today is read by an earlier version."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

ROOT = Path(__file__).parent.parent
BUF = Path(sys.executable).with_name("buf")
BUF_FOUND_CHANGES = 100
TOPICS = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "topics").glob("*.yaml"))]
TODAY = {name: (topic["topic"], topic["partitions"]) for topic in TOPICS for name in topic["schema"]}

for contract in sorted((ROOT / "gongji").rglob("*.proto")):
    importlib.import_module(".".join(contract.relative_to(ROOT).with_suffix("").parts) + "_pb2")


@dataclass(frozen=True, eq=False)
class Version:
    """A version that was kept: its descriptors, and the golden message of each of its events with its topic."""

    name: str
    descriptors: FileDescriptorSet
    golden: dict[str, dict[str, Any]]

    @property
    def pool(self) -> descriptor_pool.DescriptorPool:
        """Its types, apart from today's."""
        pool = descriptor_pool.DescriptorPool()
        for file in self.descriptors.file:
            pool.Add(file)
        return pool


@cache
def version(folder: Path) -> Version:
    descriptors = FileDescriptorSet.FromString((folder / "descriptors.binpb").read_bytes())
    return Version(folder.name, descriptors, json.loads((folder / "golden.json").read_text(encoding="utf-8")))


VERSIONS = [version(folder) for folder in sorted((ROOT / "versions").iterdir())]
KEPT = [pytest.param(kept, name, id=f"{kept.name}-{name}") for kept in VERSIONS for name in sorted(kept.golden)]


def decoded(pool: descriptor_pool.DescriptorPool, full_name: str, payload: bytes) -> Message:
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name)).FromString(payload)


def told(message: Message, pool: descriptor_pool.DescriptorPool) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool)


def has_unknown(message: Message) -> bool:
    if len(UnknownFieldSet(message)):
        return True
    parts = [
        part
        for field, value in message.ListFields()
        if field.message_type is not None
        for part in (value if field.is_repeated else [value])
    ]
    return any(has_unknown(part) for part in parts)


def is_within(earlier: Any, later: Any) -> bool:
    """Whether all that is told earlier is told later, with the same values."""
    if isinstance(earlier, dict) and isinstance(later, dict):
        return all(name in later and is_within(value, later[name]) for name, value in earlier.items())
    if isinstance(earlier, list) and isinstance(later, list):
        return len(earlier) == len(later) and all(map(is_within, earlier, later))
    return bool(earlier == later)


def reads_today(kept: Version, full_name: str) -> bool:
    """Whether an event that was sent under that version says today what it said then."""
    payload, pool, today = bytes.fromhex(kept.golden[full_name]["hex"]), kept.pool, descriptor_pool.Default()
    then, now = decoded(pool, full_name, payload), decoded(today, full_name, payload)
    return not has_unknown(now) and told(then, pool) == told(now, today)


def reads_earlier(kept: Version, full_name: str, payload: bytes) -> bool:
    """Whether a consumer of that version reads of an event of today what it knows, and passes on the rest unharmed."""
    pool, today = kept.pool, descriptor_pool.Default()
    then, now = decoded(pool, full_name, payload), decoded(today, full_name, payload)
    again = decoded(today, full_name, then.SerializeToString())
    return is_within(told(then, pool), told(now, today)) and again == now


def golden_of_today(full_name: str) -> bytes:
    return bytes.fromhex((ROOT / "examples" / f"{full_name}.hex").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("kept", "full_name"), KEPT)
def test_what_was_sent_under_an_earlier_version_is_read_today(kept: Version, full_name: str) -> None:
    assert reads_today(kept, full_name)


@pytest.mark.parametrize(("kept", "full_name"), KEPT)
def test_what_is_sent_today_is_read_under_an_earlier_version(kept: Version, full_name: str) -> None:
    assert reads_earlier(kept, full_name, golden_of_today(full_name))


@pytest.mark.parametrize("kept", VERSIONS, ids=lambda kept: kept.name)
def test_an_event_stays_on_its_topic_and_each_key_in_its_partition(kept: Version) -> None:
    for name, golden in kept.golden.items():
        assert TODAY[name] == (golden["topic"], golden["partitions"])


def test_versions_were_kept_and_each_has_what_it_takes() -> None:
    assert VERSIONS
    for kept in VERSIONS:
        for name in kept.golden:
            kept.pool.FindMessageTypeByName(name)


def test_every_event_is_in_the_newest_version_that_was_kept() -> None:
    missing = TODAY.keys() - VERSIONS[-1].golden.keys()
    assert not missing, "keep a version that has them: make contracts-version NAME=…"


DEBITED = "gongji.settlement.events.v1.AccountDebited"
SUBMITTED = "gongji.binding.events.v1.ApplicationSubmitted"


def with_change(kept: Version, full_name: str, change: Callable[[Any], object]) -> Version:
    descriptors = FileDescriptorSet.FromString(kept.descriptors.SerializeToString())
    package, _, short = full_name.rpartition(".")
    for file in descriptors.file:
        for message in file.message_type:
            if file.package == package and message.name == short:
                change(message)
    return Version(kept.name, descriptors, kept.golden)


def numbered(field: str, number: int) -> Callable[[Any], object]:
    return lambda message: next(each for each in message.field if each.name == field).__setattr__("number", number)


def named(field: str, name: str) -> Callable[[Any], object]:
    return lambda message: next(each for each in message.field if each.name == field).__setattr__("name", name)


def typed(field: str, kind: int) -> Callable[[Any], object]:
    return lambda message: next(each for each in message.field if each.name == field).__setattr__("type", kind)


@pytest.mark.parametrize(
    "change",
    [
        numbered("amount_fen", 99),
        named("amount_fen", "amount_li"),
        typed("amount_fen", 18),  # sint64: the same wire type, other numbers
        typed("sequence", 6),  # fixed64
        lambda message: message.field.pop(2),
    ],
)
def test_a_field_that_was_another_once_is_noticed(change: Callable[[Any], object]) -> None:
    assert not reads_today(with_change(VERSIONS[-1], DEBITED, change), DEBITED) or not reads_earlier(
        with_change(VERSIONS[-1], DEBITED, change), DEBITED, golden_of_today(DEBITED)
    )


def test_a_field_of_a_part_that_was_another_once_is_noticed() -> None:
    changed = with_change(VERSIONS[-1], "gongji.binding.events.v1.ApplicationFacts", named("payer_psn_no", "payer"))
    assert not reads_today(changed, SUBMITTED)
    assert not reads_earlier(changed, SUBMITTED, golden_of_today(SUBMITTED))


def test_a_field_that_came_later_is_passed_on_and_nothing_of_it_is_lost() -> None:
    earlier = with_change(VERSIONS[-1], DEBITED, lambda message: message.field.pop(2))
    assert reads_earlier(earlier, DEBITED, golden_of_today(DEBITED))


def broken(protos: Path, against: Path) -> tuple[int, str]:
    done = subprocess.run(
        [BUF, "breaking", "--against", against], cwd=protos, check=False, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    """A copy that a test may change."""
    for part in ("gongji", "vendor"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("asyncapi"))
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def change_contract(protos: Path, package: str, old: str, new: str) -> None:
    for file in sorted((protos / package.replace(".", "/")).glob("*.proto")):
        text = file.read_text(encoding="utf-8")
        if old in text:
            file.write_text(text.replace(old, new, 1), encoding="utf-8")
            return
    raise AssertionError(f"{package} has no {old}")


SETTLEMENT = "gongji.settlement.events.v1"
IDENTITY = "gongji.identity.events.v1"
BINDING = "gongji.binding.events.v1"
BREAKS = [
    (
        SETTLEMENT,
        "int64 amount_fen = 3;",
        "int64 amount_fen = 93;",
        'name "amount_fen" on message "AccountDebited" was del',
    ),
    (SETTLEMENT, "int32 premium_year = 9;", "sint32 premium_year = 9;", 'changed type from "int32" to "sint32"'),
    (
        SETTLEMENT,
        "int64 entries = 2;",
        "repeated int64 entries = 2;",
        '"entries" on message "EntriesSealed" changed card',
    ),
    (SETTLEMENT, "CONTRIBUTION_KIND_INTEREST = 2;", "", 'enum value "2" on enum "ContributionKind" was deleted'),
    (
        SETTLEMENT,
        "PAYOUT_WAY_TRANSFER = 2;",
        "PAYOUT_WAY_TRANSFER = 3;",
        'enum value "2" on enum "PayoutWay" was deleted',
    ),
    (SETTLEMENT, "message HoldsTrimmed {", "message HoldsCut {", 'present message "HoldsTrimmed" was deleted'),
    (IDENTITY, " sequence = 4;", " running_number = 4;", 'changed name from "sequence" to "running_number"'),
    (BINDING, f"package {BINDING};", "package gongji.binding.events.v2;", f'package changed from "{BINDING}"'),
]


def test_each_kind_of_breaking_change_is_refused(protos: Path) -> None:
    for package, old, new, _ in BREAKS:
        change_contract(protos, package, old, new)
    code, found = broken(protos, ROOT)
    assert code == BUF_FOUND_CHANGES
    for *_, told_by_buf in BREAKS:
        assert told_by_buf in found


def test_an_addition_is_no_breaking_change(protos: Path) -> None:
    addition = "int64 amount_fen = 3;\n  // New.\n  string remark = 99;"
    change_contract(protos, SETTLEMENT, "int64 amount_fen = 3;", addition)
    assert broken(protos, ROOT) == (0, "")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Today's contracts, as buf compiles them."""
    file = tmp_path_factory.mktemp("today") / "today.binpb"
    subprocess.run([BUF, "build", "--output", file], cwd=ROOT, check=True)
    return file


@pytest.mark.parametrize("kept", VERSIONS, ids=lambda kept: kept.name)
def test_nothing_of_a_version_that_was_kept_has_been_broken(kept: Version, image: Path) -> None:
    # What others state changes with their releases.
    rules = json.dumps({"version": "v2", "breaking": {"use": ["FILE"], "ignore": ["buf", "google"]}})
    against = ROOT / "versions" / kept.name / "descriptors.binpb"
    done = subprocess.run(
        [BUF, "breaking", image, "--against", against, "--config", rules, "--against-config", rules],
        cwd=image.parent,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_kept_descriptors_have_no_comments_and_name_no_place_of_a_machine() -> None:
    for kept in VERSIONS:
        assert not any(file.HasField("source_code_info") for file in kept.descriptors.file)
        assert not any(file.name.startswith("/") for file in kept.descriptors.file)
