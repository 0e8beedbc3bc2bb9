"""Families for scenarios: registered, bound and with money, each family and hospital of its own."""

import uuid
from collections.abc import Mapping

from gongji.settlement.v1 import settlement_pb2
from gongji_local.cases.script import Case, Relation
from gongji_local.cases.world import World
from gongji_local.client import Connections, Hospital, bill
from gongji_local.stack import Stack


class Family:
    """A family and the hospital that treats it."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def hospital(self) -> Hospital:
        """The hospital of the family's town."""
        return self.world.hospitals["hospital"]

    def psn_no(self, name: str) -> str:
        """A member's psn_no."""
        return self.world.persons[name].psn_no

    def relation_id(self, payer: str, beneficiary: str) -> str:
        """The relation between two members."""
        return self.world.relation_ids[payer, beneficiary]

    async def credential(self, patient: str, hospital: Hospital | None = None) -> str:
        """A fresh visit credential for a member."""
        person = self.world.persons[patient]
        at = hospital or self.hospital
        return (await at.identify_by_identity_card(person.certno, person.psn_name)).visit_credential

    async def request(
        self, patient: str, psn_part_amt: int, *, hospital: Hospital | None = None, msgid: str | None = None
    ) -> settlement_pb2.SettleRequest:
        """A request to settle a bill of which all is left to the patient, fen; to be sent as often as one likes."""
        at = hospital or self.hospital
        return at.settle_request(
            bill(self.psn_no(patient), medfee_sumamt=psn_part_amt),
            await self.credential(patient, at),
            at=self.world.stack.now(),
            msgid_=msgid,
        )

    async def settle(self, patient: str, psn_part_amt: int) -> settlement_pb2.Settlement:
        """Settle a bill of which all is left to the patient, fen."""
        return await self.hospital.settle(await self.request(patient, psn_part_amt))

    async def balance(self, name: str) -> int:
        """A member's ledger balance, fen."""
        return (await self.world.operator.account(self.psn_no(name))).balance

    async def use(self, payer: str, beneficiary: str) -> dict[str, tuple[int, int]]:
        """What of each window of a relation is used and held today, fen."""
        relation = await self.world.portal(payer).relation(self.relation_id(payer, beneficiary))
        return {_window(use.window): (use.used_fen, use.held_fen) for use in relation.use}

    async def quiet(self) -> None:
        """Wait until every outbox is empty and every consumer has caught up; webhooks may hear later."""
        await self.world.quiet()


def _window(number: int) -> str:
    return settlement_pb2.LimitWindow.Name(settlement_pb2.LimitWindow.ValueType(number)).removeprefix("LIMIT_WINDOW_")


class Families:
    """Where families come from."""

    def __init__(self, stack: Stack, connections: Connections) -> None:
        self._stack = stack
        self._connections = connections

    async def make(self, accounts_fen: Mapping[str, int], *relations: Relation) -> Family:
        """A family with these balances and relations; without any, father pays for child up to 1,000,000 fen a year."""
        chosen = relations or (Relation("father", "child", {"year": 1_000_000}),)
        names = frozenset(accounts_fen) | {
            name for relation in chosen for name in (relation.payer, relation.beneficiary)
        }
        case = Case(uuid.uuid4().hex[:12], "", accounts_fen, chosen, (), (), names)
        world = World(self._stack, self._connections, case)
        await world.make()
        return Family(world)
