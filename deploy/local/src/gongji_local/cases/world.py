"""The world of one case: a family of its own, its institutions, accounts and relations, made through the interfaces."""

import asyncio
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

from gongji.binding.v1 import application_pb2, relation_pb2
from gongji.identity.v1 import institution_pb2, person_pb2
from gongji_local.cases.script import Case, Institution, Relation
from gongji_local.client import Clerk, Connections, Hospital, Operator, Portal, ProofFile
from gongji_local.client.persons import Insured, institution, insured
from gongji_local.client.proofs import pdf
from gongji_local.stack import Stack
from kit.clock import SHANGHAI

REGISTERED_AT: Final = datetime(2025, 1, 4, 9, 0, tzinfo=SHANGHAI)
APPROVED_AT: Final = datetime(2025, 1, 5, 9, 0, tzinfo=SHANGHAI)
OPENING: Final = datetime(2025, 6, 10, 10, 0, tzinfo=SHANGHAI)
QUIET_SECONDS: Final = 120.0
UNHURRIED: Final = frozenset({"notify-webhooks"})
"""Reads half a second later than the others, which many times over is minutes; nobody here has a webhook."""

_EMPLOYEE, _RESIDENT = person_pb2.INSURANCE_TYPE_EMPLOYEE, person_pb2.INSURANCE_TYPE_RESIDENT
_FAMILY: Final = {
    "father": ("巴特尔", date(1985, 3, 2), _EMPLOYEE),
    "mother": ("阿依古丽", date(1986, 7, 15), _EMPLOYEE),
    "aunt": ("其其格", date(1988, 5, 20), _EMPLOYEE),
    "child": ("苏和", date(2015, 9, 1), _RESIDENT),
    "baby": ("娜仁", date(2024, 11, 20), _RESIDENT),
    "grandma": ("乌云", date(1958, 4, 8), _RESIDENT),
}
_MINORS: Final = frozenset({"child", "baby"})
_GENERATION_YEARS: Final = 16
_HOME: Final = (
    Institution(
        "hospital", institution_pb2.INSTITUTION_TYPE_MEDICAL, "652701", designated=True, remote_settlement=True
    ),
    Institution(
        "pharmacy", institution_pb2.INSTITUTION_TYPE_PHARMACY, "652701", designated=True, remote_settlement=True
    ),
)


class World:
    """What the steps of one case act on."""

    def __init__(self, stack: Stack, connections: Connections, case: Case) -> None:
        self.stack = stack
        self.operator = Operator(connections)
        self.persons: dict[str, Insured] = {}
        self.relation_ids: dict[tuple[str, str], str] = {}
        self.hospitals: dict[str, Hospital] = {}
        self._connections = connections
        self._case = case

    async def make(self) -> None:
        """Make everything that the case takes for granted, and let the clock stand at its opening."""
        self.stack.move_clock(REGISTERED_AT)
        await self._make_institutions()
        await self._make_persons()
        await self._state_premium()
        await self.quiet()
        await self._make_accounts()
        await self.quiet()
        for minute, relation in enumerate(self._case.relations):
            self.stack.move_clock(APPROVED_AT + timedelta(minutes=minute))
            await self._make_relation(relation)
        self.stack.move_clock(OPENING)
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until every outbox is empty and every consumer has caught up, but for what nobody here is told."""
        await asyncio.to_thread(lambda: self.stack.quiesce(QUIET_SECONDS, without=UNHURRIED))

    def portal(self, name: str) -> Portal:
        """The portal with this person in front of it."""
        return Portal(self._connections, self.persons[name].psn_no)

    def name_of(self, psn_no: str) -> str:
        """What the case calls a person."""
        return next((name for name, person in self.persons.items() if person.psn_no == psn_no), psn_no)

    def account_holders(self) -> list[str]:
        """Those who hold 310, and so an account."""
        return [name for name, person in self.persons.items() if person.insutype == _EMPLOYEE]

    async def _make_institutions(self) -> None:
        await asyncio.gather(*(self._make_institution(wanted) for wanted in (*_HOME, *self._case.institutions)))

    async def _make_institution(self, wanted: Institution) -> None:
        made = institution(
            f"测试机构 {wanted.name}",
            admdvs=wanted.admdvs,
            fixmedins_type=institution_pb2.InstitutionType.ValueType(wanted.fixmedins_type),
            designated=wanted.designated,
            remote_settlement=wanted.remote_settlement,
        )
        await self.operator.register_institution(made)
        self.hospitals[wanted.name] = Hospital(self._connections, made.fixmedins_code)

    async def _make_persons(self) -> None:
        # A minor is registered by a grown-up, so there is always one.
        names = sorted(self._case.persons | {"father"}, key=list(_FAMILY).index)
        self.persons = {name: insured(*_FAMILY[name]) for name in names}
        batch = f"case-{self._case.id}-{self.persons['father'].psn_no}"
        answer = await self.operator.import_insured(batch, [person.row() for person in self.persons.values()])
        if answer.refused_count:
            raise WorldError(f"the register refused {[row.description for row in answer.refused]}")
        grown_up = [person for name, person in self.persons.items() if name not in _MINORS]
        minors = [person for name, person in self.persons.items() if name in _MINORS]
        portal, father = Portal(self._connections), self.portal("father")
        await asyncio.gather(*(portal.register_in_person(one.psn_name, one.certificate) for one in grown_up))
        await asyncio.gather(*(father.register(one.psn_name, one.certificate) for one in minors))

    async def _state_premium(self) -> None:
        if premium := self._case.premium:
            await self.operator.set_premium(premium.year, premium.amount_fen, premium.collect_from, premium.collect_to)

    async def _make_accounts(self) -> None:
        await asyncio.gather(*(self._make_account(name) for name in self.account_holders()))

    async def _make_account(self, name: str) -> None:
        psn_no, amount_fen = self.persons[name].psn_no, self._case.accounts_fen.get(name, 0)
        await self.operator.open_account(psn_no)
        if amount_fen:
            await self.operator.record_contribution(psn_no, f"opening.{psn_no}", amount_fen)

    async def _make_relation(self, relation: Relation) -> None:
        payer, beneficiary = self.persons[relation.payer], self.persons[relation.beneficiary]
        relationship = _relationship(relation)
        application_id = await self.portal(relation.payer).create_application(
            application_pb2.CreateApplicationRequest(
                payer_psn_no=payer.psn_no,
                beneficiary_psn_no=beneficiary.psn_no,
                relationship=relationship,
                limits=limits(relation.limits_fen),
                valid_from=relation.valid_from,
                valid_to=relation.valid_to,
                priority=relation.priority,
                pledge_version="2025.1",
            )
        )
        proof = ProofFile(application_pb2.PROOF_KIND_HOUSEHOLD_REGISTER, pdf(f"household register {application_id}"))
        if relationship == relation_pb2.RELATIONSHIP_SPOUSE:
            proof = ProofFile(application_pb2.PROOF_KIND_MARRIAGE_CERTIFICATE, proof.content)
        await self.portal(relation.payer).upload_proof(application_id, proof)
        if relation.beneficiary not in _MINORS:
            await self.portal(relation.beneficiary).give_consent(application_id)
        await self.portal(relation.payer).submit(application_id)
        await Clerk(self._connections, "wang", roles=("handler",)).claim(application_id)
        approved = await Clerk(self._connections, "li", roles=("decider",)).approve(application_id)
        self.relation_ids[relation.payer, relation.beneficiary] = approved.relation_id


class WorldError(Exception):
    """The world of a case could not be made."""


def limits(limits_fen: Mapping[str, int]) -> relation_pb2.Limits:
    """Limits as the contract carries them."""
    return relation_pb2.Limits(**{f"{window}_fen": amount for window, amount in limits_fen.items()})


def _relationship(relation: Relation) -> relation_pb2.Relationship.ValueType:
    """What the beneficiary is to the payer, told by their ages."""
    years = _FAMILY[relation.beneficiary][1].year - _FAMILY[relation.payer][1].year
    if years >= _GENERATION_YEARS:
        return relation_pb2.RELATIONSHIP_CHILD
    return relation_pb2.RELATIONSHIP_PARENT if years <= -_GENERATION_YEARS else relation_pb2.RELATIONSHIP_SPOUSE
