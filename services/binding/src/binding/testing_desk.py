"""Binding's use cases and who has them, for tests: on the fake, without a server."""

from typing import Any
from uuid import UUID

from binding.domain.applications import Application, ProofKind
from binding.domain.eligibility import (
    Policy,
)
from binding.domain.relations import Relation
from binding.domain.working_days import Promise
from binding.memory import MemoryRepository
from binding.service.applications import Applications
from binding.service.caller import Caller
from binding.service.decisions import Decisions
from binding.service.proofs import Proofs
from binding.service.relations import Relations
from binding.service.reviews import Reviews
from binding.testing import (
    APPROVING,
    CHILD,
    FATHER,
    LEASE,
    MOTHER,
    NOON,
    PLEDGES,
    asked,
    family,
    png_file,
    ring,
    unexamined,
)
from kit.clock import FixedClock
from kit.testing import MemoryWork

DAD = Caller(f"psn:{FATHER}", FATHER, frozenset({"citizen"}))
MUM = Caller(f"psn:{MOTHER}", MOTHER, frozenset({"citizen"}))
KID = Caller(f"psn:{CHILD}", CHILD, frozenset({"citizen"}))
STRANGER = Caller("psn:P9999", "P9999", frozenset({"citizen"}))
WANG = Caller("clerk:wang", None, frozenset({"handler"}))
LI = Caller("clerk:li", None, frozenset({"decider"}))
OPS = Caller("clerk:ops", None, frozenset({"operator"}))


class Desk:
    """Binding's use cases over one fake, and what came of them."""

    def __init__(self, work: MemoryWork[MemoryRepository]) -> None:
        self.state = work.repository
        self.state.known_persons |= family()
        self.clock = FixedClock(NOON)
        self.applications = Applications(work, self.clock, Policy(), PLEDGES, Promise())
        self.proofs = Proofs(work, self.clock, ring(), Policy(), unexamined)
        self.reviews = Reviews(work, self.clock, LEASE)
        self.decisions = Decisions(work, self.clock, Policy())
        self.relations = Relations(work, self.clock, Policy())

    async def draft(self, caller: Caller = DAD, **changes: Any) -> UUID:
        """An application that is not handed in."""
        parties = (changes.pop("payer_psn_no", FATHER), changes.pop("beneficiary_psn_no", CHILD))
        return (await self.applications.create(caller, *parties, asked(**changes))).application_id

    async def submitted(self, **changes: Any) -> UUID:
        """One that waits for a clerk."""
        application_id = await self.draft(**changes)
        kind = ProofKind.HOUSEHOLD_REGISTER
        await self.proofs.add(DAD, application_id, kind, png_file())
        await self.applications.submit(DAD, application_id)
        return application_id

    async def approved(self, **changes: Any) -> Relation:
        """The relation that came of one."""
        application_id = await self.submitted(**changes)
        await self.reviews.claim(WANG, application_id)
        done = await self.decisions.decide(LI, application_id, APPROVING)
        if done.relation_id is None:
            raise AssertionError(f"it was not approved: {done}")
        return self.state.relations[done.relation_id]

    def application(self, application_id: UUID) -> Application:
        """As it is kept now."""
        return self.state.applications[application_id]

    def told(self) -> list[tuple[str, int]]:
        """Names and sequences of the events."""
        return [(row.type.rpartition(".")[2], row.sequence or 0) for row in self.state.outbox.rows]
