"""From the register of insured persons to a relation in force and money in the account."""

import asyncio
import uuid
from datetime import timedelta
from typing import Final

from gongji.binding.v1 import application_pb2, relation_pb2
from gongji.settlement.v1 import account_pb2
from gongji_local.client import ProofFile
from gongji_local.client.proofs import pdf
from gongji_local.demo.cast import Cast
from gongji_local.demo.checks import require, require_amount, require_equal, yuan
from kit.clock import Elapsed

CONTRIBUTION_FEN: Final = 500_00
SETTLEMENT_LIMIT_FEN: Final = 200_00
YEAR_LIMIT_FEN: Final = 1_000_00
VALID_DAYS: Final = 365
DELIVERY_TIMEOUT_SECONDS: Final = 30.0
MILLISECONDS: Final = 1000


async def import_insured(cast: Cast) -> None:
    """The operators load the register of insured persons and register the hospital."""
    cast.narrator.step("The register of insured persons is imported, and the hospital is registered")
    rows = cast.world.rows
    answer = await cast.operator.import_insured(f"demo-{uuid.uuid4().hex}", rows)
    refusals = "; ".join(refused.description for refused in answer.refused)
    require(not answer.refused_count, f"the import refuses {answer.refused_count} rows: {refusals}")
    require_equal("the number of imported rows", answer.changed_count, len(rows))
    await cast.operator.register_institution(cast.world.hospital)
    cast.narrator.fact(f"father …{cast.father.psn_no[-4:]} is insured as an employee (职工医保, 310)")
    cast.narrator.fact(f"child …{cast.child.psn_no[-4:]} is insured as a resident (居民医保, 390)")


async def register_family(cast: Cast) -> None:
    """The father registers himself, then his child, who is a minor."""
    cast.narrator.step("The father registers himself and his child (实名核验)")
    world = cast.world
    await _register_father(cast)
    psn_no = await cast.father.register(world.child.psn_name, world.child.certificate)
    require_equal("the child's psn_no", psn_no, world.child.psn_no)
    person = await cast.father.person()
    require(world.father.psn_name not in person.masked_name, "the father's name is shown unmasked")
    cast.narrator.fact(
        f"name and number match the register; shown only masked: {person.masked_name} {person.masked_certno}"
    )
    await wait_for_delivery(cast)


async def _register_father(cast: Cast) -> None:
    father = cast.world.father
    started = await cast.newcomer.start_verification(father.psn_name, father.certificate)
    require(father.tel not in started.masked_tel, "the father's telephone is shown unmasked")
    code = await asyncio.to_thread(cast.stack.code_of, started.verification_id, DELIVERY_TIMEOUT_SECONDS)
    cast.narrator.fact(f"a one-time code (验证码) went to the telephone on file, {started.masked_tel}: {code}")
    psn_no = await cast.newcomer.register_with_code(father.psn_name, father.certificate, started.verification_id, code)
    require_equal("the father's psn_no", psn_no, father.psn_no)


async def apply(cast: Cast) -> str:
    """The father applies for mutual aid for his child, with a scan of the household register; the application's id."""
    cast.narrator.step("The father applies for mutual aid for his child (共济申请) and uploads the household register")
    application_id = await cast.father.create_application(_application(cast))
    scan = pdf("Household register (made up for the demo)")
    kind = application_pb2.PROOF_KIND_HOUSEHOLD_REGISTER
    proof = await cast.father.upload_proof(application_id, ProofFile(kind, scan))
    require_equal("the size of the stored proof", proof.size_bytes, len(scan))
    state = await cast.father.submit(application_id)
    require_equal("the application's state", state, application_pb2.APPLICATION_STATE_SUBMITTED)
    cast.narrator.fact(
        f"submitted: at most {yuan(SETTLEMENT_LIMIT_FEN)} a settlement and {yuan(YEAR_LIMIT_FEN)} a year; "
        f"proof of {len(scan)} bytes, sha256 {proof.sha256[:12]}…"
    )
    return application_id


def _application(cast: Cast) -> application_pb2.CreateApplicationRequest:
    return application_pb2.CreateApplicationRequest(
        payer_psn_no=cast.father.psn_no,
        beneficiary_psn_no=cast.child.psn_no,
        relationship=relation_pb2.RELATIONSHIP_CHILD,
        limits=relation_pb2.Limits(settlement_fen=SETTLEMENT_LIMIT_FEN, year_fen=YEAR_LIMIT_FEN),
        valid_to=(cast.world.today + timedelta(days=VALID_DAYS)).isoformat(),
        pledge_version="2025.1",
    )


async def review(cast: Cast, application_id: str) -> str:
    """One clerk handles the application, another approves it; the relation's id."""
    cast.narrator.step("One clerk handles the application (经办), a different one approves it (审核)")
    claimed = await cast.handler.claim(application_id)
    require_equal("the application's state", claimed.state, application_pb2.APPLICATION_STATE_CLAIMED)
    decided = await cast.decider.approve(application_id)
    require_equal("the application's state", decided.state, application_pb2.APPLICATION_STATE_APPROVED)
    relation = await cast.father.relation(decided.relation_id)
    require_equal("the relation's state", relation.state, relation_pb2.RELATION_STATE_ACTIVE)
    cast.narrator.fact(f"the relation is in force at once, from {relation.valid_from} to {relation.valid_to}")
    return decided.relation_id


async def contribute(cast: Cast) -> None:
    """The father's contribution arrives on his personal account."""
    cast.narrator.step("A contribution arrives on the father's personal account (个人账户)")
    account = await cast.operator.open_account(cast.father.psn_no)
    require_equal("the account's state", account.state, account_pb2.ACCOUNT_STATE_OPEN)
    contribution_id = f"demo-{uuid.uuid4().hex}"
    balance_fen = await cast.operator.record_contribution(cast.father.psn_no, contribution_id, CONTRIBUTION_FEN)
    require_amount("the balance after the contribution", balance_fen, CONTRIBUTION_FEN)
    cast.narrator.fact(f"balance {yuan(balance_fen)}")


async def wait_for_delivery(cast: Cast) -> None:
    """Waits until what was published has been heard by everybody."""
    elapsed = Elapsed()
    await asyncio.to_thread(cast.stack.quiesce, DELIVERY_TIMEOUT_SECONDS)
    milliseconds = elapsed.seconds * MILLISECONDS
    cast.narrator.fact(f"every event delivered: outboxes empty, consumers at the end ({milliseconds:.0f} ms)")
