"""Who reads a topic is what its file says, and has commands for the events that it fails on."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path

import pytest

from kit.topics import catalogue

ROOT = Path(__file__).parent.parent
SERVICES = ("identity", "binding", "settlement", "notify")


def consumers(service: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Group and topics of every consumer that the service's code constructs."""
    source = ROOT / "services" / service / "src"
    for file in sorted(source.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        for call in calls:
            if isinstance(call.func, ast.Name) and call.func.id == "Consumer":
                module = import_module(".".join(file.relative_to(source).with_suffix("").parts))
                topics, group = (eval(ast.unparse(each), vars(module)) for each in call.args[1:3])  # noqa: S307 - our own
                yield group, topics


def groups(service: str) -> Mapping[str, Sequence[str]]:
    return dict(consumers(service))


def test_a_topic_s_file_names_the_groups_that_read_it_and_no_others() -> None:
    readers = defaultdict(set)
    for service in SERVICES:
        for group, topics in consumers(service):
            for topic in topics:
                readers[topic].add(group)
    assert {name: set(topic.consumers) for name, topic in catalogue().topics.items()} == {
        name: readers[name] for name in catalogue().topics
    }


@pytest.mark.parametrize("service", [service for service in SERVICES if groups(service)])
def test_every_group_of_a_service_has_commands_for_what_it_fails_on(service: str) -> None:
    tools = import_module(f"{service}.cli").DEAD_LETTERS
    assert {group: set(topics) for group, topics in tools.topics.items()} == {
        group: set(topics) for group, topics in groups(service).items()
    }


def test_the_groups_are_found() -> None:
    found = [group for service in SERVICES for group in groups(service)]
    assert sorted(found) == ["binding", "notify", "notify-webhooks", "settlement"]
