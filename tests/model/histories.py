"""`make histories`: histories from seeds, played by many callers at once on the real services, replayed on the model.

Each round makes families and a history, plays it phase by phase with all callers in flight, reads in which order the
transactions took effect, and plays the plain model in that order, authorizing and paying as two steps. Every answer,
every grant, the balances after each, holds, counters, sequences and final states have to be the model's. ROUNDS says
how many, SEED which, WISHES how long each is; a failed round tells its seed.
"""

import asyncio
import os
import random
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from model.endings import Left, compare_endings, what_is_left
from model.families import Families, invent, settle_down
from model.history import Maker
from model.play import Player, Sent
from model.recorder import Moment, Recorder
from model.replay import Replay
from rich.console import Console

from gongji_local.cases.world import OPENING
from gongji_local.client import Connections
from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack

ROUNDS: Final = int(os.environ.get("ROUNDS") or "5")
SEED: Final = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
WISHES: Final = int(os.environ.get("WISHES") or "600")
FAMILIES: Final = 3
QUIET_SECONDS: Final = 120.0
SHOWN: Final = 20


@dataclass(frozen=True)
class Outcome:
    """What came of one history."""

    requests: int
    transactions: int
    compared: int
    given_up: list[str]
    wrong: list[str]

    def __str__(self) -> str:
        told = f"{self.requests} requests, {self.transactions} transactions, {self.compared} values compared"
        return f"{told}, {len(self.given_up)} given up, {len(self.wrong)} wrong"


@dataclass(frozen=True)
class Played:
    """A history that was played, and all that the services have left of it."""

    families: Families
    sent: list[Sent]
    phases: list[tuple[datetime, datetime]]
    moments: list[Moment]
    places: dict[tuple[str, bool], int]
    left: Left


async def run(stack: Stack, seed: int, wishes: int, families_each: int = FAMILIES) -> Outcome:
    """Make one history, play it, and replay it."""
    return judge(await play(stack, seed, wishes, families_each))


async def play(stack: Stack, seed: int, wishes: int, families_each: int = FAMILIES) -> Played:
    """Make one history and play it, until everything has been taken in."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    families, recorder = invent(chance, families_each), Recorder(stack)
    phases = Maker(chance, families, wishes).make()
    stack.move_clock(OPENING)
    async with Connections(stack) as connections:
        await settle_down(stack, connections, families)
        player = Player(stack, connections, families)
        await recorder.begin()
        try:
            for phase in phases:
                await player.play(phase)
                await asyncio.to_thread(stack.quiesce, QUIET_SECONDS)
            moments = await recorder.moments()
        finally:
            await recorder.end()
    sent = list(player.sent.values())
    left = await what_is_left(stack, families, [each.key for each in sent if each.key])
    return Played(families, sent, player.phases, moments, await recorder.places(), left)


def judge(played: Played) -> Outcome:
    """Play the model in the order of commits, and compare."""
    replay = Replay(played.families, played.sent, played.phases, played.places)
    replay.play(played.moments)
    wrong = replay.wrong + compare_endings(played.left, played.families, replay)
    answered = [each for each in played.sent if each.is_answered]
    return Outcome(len(answered), len(played.moments), replay.compared, replay.unexplained, wrong)


def main() -> int:
    """All rounds on a stack of their own; 1 if anything was wrong."""
    console = Console(soft_wrap=True)
    stack = Stack(new_session_folder())
    try:
        stack.up()
        for number in range(ROUNDS):
            outcome = asyncio.run(run(stack, SEED + number, WISHES))
            console.print(f"round {number + 1} of {ROUNDS}, seed {SEED + number}: {outcome}")
            for each in (*outcome.given_up, *outcome.wrong[:SHOWN]):
                console.print(f"  {each}", markup=False)
            if outcome.wrong:
                return 1
        return 0
    finally:
        remove_session(stack)


if __name__ == "__main__":
    sys.exit(main())
