"""Reads the Dockerfile, so that the check does what it says instead of what somebody once copied from it."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gongji_images.errors import ImagesError

HERE: Final = Path(__file__).resolve().parent.parent
DOCKERFILE: Final = HERE / "Dockerfile"
ROOT: Final = HERE.parent.parent
"""The context that the Dockerfile is built in: the checkout."""


class DockerfileError(ImagesError):
    """The Dockerfile has something that the check does not know how to do."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its lines joined."""

    keyword: str
    rest: str

    @property
    def argv(self) -> tuple[str, ...]:
        """The words of an instruction in its JSON form, such as of RUN and ENTRYPOINT."""
        try:
            words = json.loads(self.rest)
        except ValueError:
            raise DockerfileError(
                f"{self.keyword} {self.rest} is not in the JSON form; a shell is not needed"
            ) from None
        return tuple(map(str, words))

    @property
    def pairs(self) -> dict[str, str]:
        """What LABEL and ENV set."""
        return dict(word.split("=", 1) for word in shlex.split(self.rest))


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: its name, what it goes on from, and its instructions."""

    name: str
    parent: str
    instructions: tuple[Instruction, ...]

    def all(self, keyword: str) -> list[Instruction]:
        """Its instructions of one kind, in order."""
        return [each for each in self.instructions if each.keyword == keyword]

    def last(self, keyword: str) -> Instruction:
        """The instruction of a kind that counts."""
        found = self.all(keyword)
        if not found:
            raise DockerfileError(f"the stage {self.name} has no {keyword}")
        return found[-1]


def stages(text: str) -> dict[str, Stage]:
    """The stages by name, in order."""
    found: dict[str, Stage] = {}
    for instruction in _instructions(text):
        if instruction.keyword == "FROM":
            parent, _as, name = instruction.rest.split()
            found[name] = Stage(name, parent, ())
        elif found:
            name, stage = next(reversed(found.items()))
            found[name] = Stage(name, stage.parent, (*stage.instructions, instruction))
    return found


def copies(stage: Stage) -> Iterator[tuple[str, str]]:
    """What a stage takes of the checkout, and to where; what it takes of another stage is not among it."""
    for each in stage.all("COPY"):
        if not each.rest.startswith("--"):
            source, target = each.rest.split()
            yield source, target


def environment(stage: Stage) -> Mapping[str, str]:
    """The variables that a stage sets."""
    merged: dict[str, str] = {}
    for each in stage.all("ENV"):
        merged |= each.pairs
    return merged


def _instructions(text: str) -> Iterator[Instruction]:
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    joined = "\n".join(lines).replace("\\\n", " ")
    for line in joined.splitlines():
        keyword, _space, rest = line.strip().partition(" ")
        yield Instruction(keyword.upper(), rest.strip())
