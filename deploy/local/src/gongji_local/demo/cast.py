"""Everybody who plays, each with their own way to call the services."""

from dataclasses import dataclass
from datetime import datetime

from gongji_local.client import Clerk, Connections, Hospital, Operator, Portal
from gongji_local.demo.narration import Narrator
from gongji_local.demo.world import World, made_up
from gongji_local.stack import Stack
from kit.clock import shanghai_date


@dataclass(frozen=True, slots=True)
class Cast:
    """The stage: the running stack, the made-up world, and who acts in it."""

    stack: Stack
    narrator: Narrator
    world: World
    newcomer: Portal
    """The father before he is registered."""
    father: Portal
    child: Portal
    operator: Operator
    handler: Clerk
    """The clerk who handles (经办)."""
    decider: Clerk
    """The clerk who decides (审核)."""
    hospital: Hospital

    @property
    def now(self) -> datetime:
        """The services' present."""
        return self.stack.now()


def assembled(stack: Stack, narrator: Narrator, connections: Connections) -> Cast:
    """A new cast for one run."""
    world = made_up(shanghai_date(stack.now()))
    return Cast(
        stack=stack,
        narrator=narrator,
        world=world,
        newcomer=Portal(connections),
        father=Portal(connections, world.father.psn_no),
        child=Portal(connections, world.child.psn_no),
        operator=Operator(connections),
        handler=Clerk(connections, "wang", roles=("handler",)),
        decider=Clerk(connections, "li", roles=("decider",)),
        hospital=Hospital(connections, world.hospital.fixmedins_code),
    )
