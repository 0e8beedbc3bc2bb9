"""What the commands for dead letters print."""

import pytest

from kit.config import ConsumerSettings
from kit.dead_letters import StoredRecord
from kit.dlq_actions import Action, Deed, MemoryActions
from kit.dlq_cli import DeadLetterTools, list_letters, words_of
from kit.dlq_letters import MemoryDeadLetters
from kit.dlq_replay import Looking, Replay
from kit.testing import MemoryInbox, MemoryWork

OPEN, ALL = (0, 2, 3), (0, 1, 2, 3)


@pytest.fixture
async def looking() -> Looking:
    """Four letters, the second of which was dropped, and one of another service."""
    dlq, actions = MemoryDeadLetters(), MemoryActions(MemoryInbox())
    for place, group in enumerate(["group"] * 4 + ["another"]):
        await dlq.bury(StoredRecord("t", 0, place, b"k", b"", []), group, KeyError())
    await actions.add(dlq.letters[1], Deed(Action.DROPPED, "Aliya", "a double"))
    return Looking(dlq, MemoryWork(actions), ["group"])


@pytest.mark.parametrize(
    ("everything", "limit", "heading", "places"),
    [
        (False, 9, "t: 3 open; 1 of other services' consumers", OPEN),
        (True, 9, "t: 4 letters; 1 of other services' consumers", ALL),
        (False, 2, "t: 3 open, the first 2 shown; 1 of other services' consumers", OPEN[:2]),
        (False, 3, "t: 3 open; 1 of other services' consumers", OPEN),
    ],
)
async def test_letters_are_counted_and_the_first_are_shown(
    looking: Looking,
    *,
    everything: bool,
    limit: int,
    heading: str,
    places: tuple[int, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    await list_letters(looking, "t", everything=everything, limit=limit)
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert first == heading
    assert tuple(int(line.split()[0]) for line in lines) == places


async def test_a_topic_without_letters_is_one_line(looking: Looking, capsys: pytest.CaptureFixture[str]) -> None:
    await list_letters(looking, "u", everything=False, limit=9)
    assert capsys.readouterr().out == "u: 0 open; 0 of other services' consumers\n"


@pytest.mark.parametrize(
    ("replay", "words"),
    [
        (Replay(), "0 handled"),
        (Replay(2, 1), "2 handled, 1 failed again and lie at the DLQ's end"),
        (Replay(2, 0, 3), "2 handled, 3 of other services' consumers left"),
    ],
)
def test_what_came_of_a_replay_is_told(replay: Replay, words: str) -> None:
    assert words_of(replay) == words


def test_a_topic_that_two_groups_read_is_named_once() -> None:
    tools = DeadLetterTools(ConsumerSettings, {"a": ["t", "u"], "b": ["u", "v"]}, lambda *_: {})
    assert tools.all_topics == ["t", "u", "v"]
