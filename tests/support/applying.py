"""A registered pair of persons and the draft that one of them makes for the other."""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from gongji.binding.v1 import application_pb2, relation_pb2
from gongji.identity.v1 import person_pb2
from gongji_local.client import Connections, Operator, Portal, ProofFile
from gongji_local.client.persons import Insured, insured
from gongji_local.client.proofs import pdf
from gongji_local.stack import Stack
from kit.clock import shanghai_date

EMPLOYEE = person_pb2.INSURANCE_TYPE_EMPLOYEE
RESIDENT = person_pb2.INSURANCE_TYPE_RESIDENT


@dataclass(frozen=True)
class Pair:
    """A payer, and the person that the payer applies for; binding knows both."""

    stack: Stack
    connections: Connections
    payer: Insured
    beneficiary: Insured

    @property
    def portal(self) -> Portal:
        """The portal with the payer in front of it."""
        return Portal(self.connections, self.payer.psn_no)

    @property
    def others_portal(self) -> Portal:
        """The portal with the beneficiary in front of it."""
        return Portal(self.connections, self.beneficiary.psn_no)

    def request(self, relationship: Any, **changes: Any) -> application_pb2.CreateApplicationRequest:
        """A good draft, unless `changes` spoil it."""
        stated: dict[str, Any] = {
            "payer_psn_no": self.payer.psn_no,
            "beneficiary_psn_no": self.beneficiary.psn_no,
            "relationship": relationship,
            "limits": relation_pb2.Limits(year_fen=100_000),
            "valid_to": (shanghai_date(self.stack.now()) + timedelta(days=365)).isoformat(),
            "pledge_version": "2025.1",
        }
        return application_pb2.CreateApplicationRequest(**(stated | changes))


async def make_pair(stack: Stack, connections: Connections, born: date, insutype: Any = RESIDENT) -> Pair:
    """A father of 1985, and somebody born on that day."""
    payer = insured("巴图", date(1985, 3, 2), EMPLOYEE)
    other = insured("苏和", born, insutype)
    await Operator(connections).import_insured(f"applying.{payer.psn_no}", [payer.row(), other.row()])
    newcomer = Portal(connections)
    assert await newcomer.register_in_person(payer.psn_name, payer.certificate) == payer.psn_no
    if shanghai_date(stack.now()).year - born.year < 18:  # R4: a minor is registered by a parent
        await Portal(connections, payer.psn_no).register(other.psn_name, other.certificate)
    else:
        await newcomer.register_in_person(other.psn_name, other.certificate)
    await asyncio.to_thread(stack.quiesce, 120.0)
    return Pair(stack, connections, payer, other)


def household_register() -> ProofFile:
    """A proof that shows any relationship."""
    return ProofFile(application_pb2.PROOF_KIND_HOUSEHOLD_REGISTER, pdf("household register"))
