"""Applications, proofs and relations: SQLAlchemy Core."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from binding.domain.applications import Application, ApplicationState, Consent, Proof
from binding.domain.eligibility import RelationExists
from binding.domain.history import ProofView, Who
from binding.domain.relations import Relation, RelationState
from binding.domain.sides import Side
from binding.repository.interface import Place
from binding.repository.rows import (
    application_of,
    changing_application,
    changing_columns,
    proof_of,
    relation_columns,
    relation_of,
    stated_columns,
)
from binding.repository.tables import APPLICATION, CONSENT, PROOF, PROOF_VIEW, RELATION
from kit.db import Transaction

_PENDING = (ApplicationState.SUBMITTED.value, ApplicationState.CLAIMED.value)
_OPEN = (ApplicationState.DRAFT.value, ApplicationState.RETURNED.value)
_PROOF_FACTS = [column for column in PROOF.columns if column.name != "content_ct"]


class ApplicationRows:
    """Applications and their proofs in one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._sql = transaction.sql

    async def add_application(self, draft: Application) -> None:
        """See `Repository.add_application`."""
        await self._sql.execute(insert(APPLICATION).values({**stated_columns(draft), **changing_application(draft)}))

    async def application(self, application_id: UUID, *, lock: bool = False) -> Application | None:
        """See `Repository.application`."""
        query = select(APPLICATION).where(APPLICATION.c.application_id == application_id)
        found = await self._applications(query.with_for_update() if lock else query)
        return found[0] if found else None

    async def save_application(self, application: Application) -> None:
        """See `Repository.save_application`."""
        change = (
            update(APPLICATION)
            .where(APPLICATION.c.application_id == application.application_id)
            .values(changing_application(application))
        )
        try:
            await self._sql.execute(change)
        except IntegrityError as error:
            _raise_if(error, "application_one_pending", "an application of this pair is waiting for its decision")

    async def pending_application(self, payer_psn_no: str, beneficiary_psn_no: str) -> UUID | None:
        """See `Repository.pending_application`."""
        query = select(APPLICATION.c.application_id).where(
            APPLICATION.c.payer_psn_no == payer_psn_no,
            APPLICATION.c.beneficiary_psn_no == beneficiary_psn_no,
            APPLICATION.c.state.in_(_PENDING),
        )
        return (await self._sql.execute(query)).scalar_one_or_none()

    async def applications_of_person(self, psn_no: str, after: Place | None, limit: int) -> list[Application]:
        """See `Repository.applications_of_person`."""
        order = (APPLICATION.c.created_at, APPLICATION.c.application_id)
        party = or_(APPLICATION.c.payer_psn_no == psn_no, APPLICATION.c.beneficiary_psn_no == psn_no)
        query = select(APPLICATION).where(party).order_by(*(column.desc() for column in order)).limit(limit)
        return await self._applications(query.where(tuple_(*order) < tuple_(*after)) if after else query)

    async def lock_lapsed_applications(self, open_since: datetime, limit: int) -> list[Application]:
        """See `Repository.lock_lapsed_applications`."""
        since = func.coalesce(APPLICATION.c.decided_at, APPLICATION.c.created_at)
        query = select(APPLICATION).where(APPLICATION.c.state.in_(_OPEN), since <= open_since)
        order = (since, APPLICATION.c.application_id)
        return await self._applications(query.order_by(*order).limit(limit).with_for_update(skip_locked=True))

    async def add_consent(self, consent: Consent) -> None:
        """See `Repository.add_consent`."""
        await self._sql.execute(insert(CONSENT).values(asdict(consent)))

    async def add_proof(self, application_id: UUID, proof: Proof, content_ct: bytes) -> Proof:
        """See `Repository.add_proof`."""
        columns = {
            "proof_id": proof.proof_id,
            "application_id": application_id,
            "kind": proof.kind.value,
            "media_type": proof.media_type,
            "sha256": proof.sha256,
            "size_bytes": proof.size_bytes,
            "kept_sha256": proof.kept_sha256,
            "content_ct": content_ct,
        }
        await self._sql.execute(
            insert(PROOF).values(columns).on_conflict_do_nothing(index_elements=["application_id", "kind", "sha256"])
        )
        same_file = select(*_PROOF_FACTS).where(
            PROOF.c.application_id == application_id, PROOF.c.kind == proof.kind.value, PROOF.c.sha256 == proof.sha256
        )
        return proof_of((await self._sql.execute(same_file)).mappings().one())

    async def proof_content(self, application_id: UUID, proof_id: UUID) -> bytes | None:
        """See `Repository.proof_content`."""
        query = select(PROOF.c.content_ct).where(PROOF.c.application_id == application_id, PROOF.c.proof_id == proof_id)
        return (await self._sql.execute(query)).scalar_one_or_none()

    async def add_proof_view(self, view: ProofView) -> None:
        """See `Repository.add_proof_view`."""
        columns = {"view_id": view.view_id, "application_id": view.application_id, "proof_id": view.proof_id}
        who = {"at": view.at, "subject": view.who.subject, "role": view.who.role}
        await self._sql.execute(insert(PROOF_VIEW).values(columns | who))

    async def proof_views(self, application_id: UUID, after: Place | None, limit: int) -> list[ProofView]:
        """See `Repository.proof_views`."""
        order = (PROOF_VIEW.c.at, PROOF_VIEW.c.view_id)
        query = select(PROOF_VIEW).where(PROOF_VIEW.c.application_id == application_id)
        if after:
            query = query.where(tuple_(*order) < tuple_(*after))
        rows = await self._sql.execute(query.order_by(*(column.desc() for column in order)).limit(limit))
        return [
            ProofView(
                row["view_id"], row["application_id"], row["proof_id"], row["at"], Who(row["subject"], row["role"])
            )
            for row in rows.mappings()
        ]

    async def remove_proof(self, application_id: UUID, proof_id: UUID) -> None:
        """See `Repository.remove_proof`."""
        await self._sql.execute(
            delete(PROOF).where(PROOF.c.application_id == application_id, PROOF.c.proof_id == proof_id)
        )

    async def _applications(self, query: Select[Any]) -> list[Application]:
        rows = (await self._sql.execute(query)).mappings().all()
        proofs = await self._proofs([row["application_id"] for row in rows])
        return [application_of(row, proofs.get(row["application_id"], [])) for row in rows]

    async def _proofs(self, application_ids: Sequence[UUID]) -> Mapping[UUID, list[Proof]]:
        found: dict[UUID, list[Proof]] = {}
        if application_ids:
            query = select(*_PROOF_FACTS).where(PROOF.c.application_id.in_(application_ids)).order_by(PROOF.c.proof_id)
            for row in (await self._sql.execute(query)).mappings():
                found.setdefault(row["application_id"], []).append(proof_of(row))
        return found


class RelationRows:
    """Relations in one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._sql = transaction.sql

    async def relation(self, relation_id: UUID, *, lock: bool = False) -> Relation | None:
        """See `Repository.relation`."""
        query = select(RELATION).where(RELATION.c.relation_id == relation_id)
        found = await self._relations(query.with_for_update(key_share=True) if lock else query)
        return found[0] if found else None

    async def relations_on_record(self, psn_nos: Collection[str]) -> list[Relation]:
        """See `Repository.relations_on_record`."""
        party = or_(RELATION.c.payer_psn_no.in_(psn_nos), RELATION.c.beneficiary_psn_no.in_(psn_nos))
        return await self._relations(select(RELATION).where(party).order_by(RELATION.c.relation_id))

    async def relations_of_beneficiary(self, psn_no: str) -> list[Relation]:
        """See `Repository.relations_of_beneficiary`."""
        return await self._relations(select(RELATION).where(RELATION.c.beneficiary_psn_no == psn_no))

    async def relations_of_person(self, psn_no: str, after: Place | None, limit: int) -> list[Relation]:
        """See `Repository.relations_of_person`."""
        order = (RELATION.c.approved_at, RELATION.c.relation_id)
        party = or_(RELATION.c.payer_psn_no == psn_no, RELATION.c.beneficiary_psn_no == psn_no)
        query = select(RELATION).where(party).order_by(*(column.desc() for column in order)).limit(limit)
        return await self._relations(query.where(tuple_(*order) < tuple_(*after)) if after else query)

    async def unended_relations_of(self, psn_no: str, side: Side, limit: int) -> list[Relation]:
        """See `Repository.unended_relations_of`."""
        party = RELATION.c.payer_psn_no if side is Side.PAYER else RELATION.c.beneficiary_psn_no
        query = select(RELATION).where(party == psn_no, RELATION.c.state != RelationState.ENDED.value)
        order = (RELATION.c.priority, RELATION.c.approved_at, RELATION.c.relation_id)
        return await self._relations(query.order_by(*order).limit(limit))

    async def lock_unended_relations(self, psn_nos: Collection[str]) -> list[Relation]:
        """See `Repository.lock_unended_relations`."""
        party = or_(RELATION.c.payer_psn_no.in_(psn_nos), RELATION.c.beneficiary_psn_no.in_(psn_nos))
        query = select(RELATION).where(party, RELATION.c.state != RelationState.ENDED.value)
        return await self._relations(query.order_by(RELATION.c.relation_id).with_for_update(key_share=True))

    async def add_relation(self, relation: Relation) -> None:
        """See `Repository.add_relation`."""
        # Not by an error of the database: that would take the other decisions of a batch with it.
        stored = await self._sql.execute(
            insert(RELATION)
            .values(relation_columns(relation))
            .on_conflict_do_nothing(
                index_elements=["payer_psn_no", "beneficiary_psn_no"],
                index_where=text("state <> 'ENDED'"),
            )
        )
        if not stored.rowcount:
            raise RelationExists("this pair has a relation; unbind it first")

    async def save_relation(self, relation: Relation) -> None:
        """See `Repository.save_relation`."""
        await self._sql.execute(
            update(RELATION).where(RELATION.c.relation_id == relation.relation_id).values(changing_columns(relation))
        )

    async def _relations(self, query: Select[Any]) -> list[Relation]:
        return [relation_of(row) for row in (await self._sql.execute(query)).mappings()]


def _raise_if(error: IntegrityError, constraint: str, message: str) -> None:
    # Two of one pair at the same moment: the index decides, and the second is refused like a later one.
    if constraint in str(error.orig):
        raise RelationExists(message) from error
    raise error
