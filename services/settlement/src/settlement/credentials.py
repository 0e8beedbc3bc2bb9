"""Visit credentials: issued and signed by identity, believed here only with its signature and for this audience."""

from datetime import date
from functools import lru_cache
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from gongji.identity.v1 import person_pb2, visit_pb2
from kit.signing import SignatureInvalid, TokenSigner
from kit.timestamps import moment
from settlement.domain.bill import InstitutionType
from settlement.domain.visit import Enrolment, Filed, InsuranceStatus, InsuranceType, VisitFacts

AUDIENCE: Final = "settlement"


class CredentialReader(Protocol):
    """Reads what identity has signed."""

    def read(self, token: str) -> VisitFacts | None:
        """The facts that a credential carries; None if it was not issued by identity for settlement."""
        ...


class SignedCredentials:
    """Credentials signed with a key of the ring that identity and settlement share."""

    def __init__(self, signer: TokenSigner) -> None:
        self._signer = signer

    def read(self, token: str) -> VisitFacts | None:
        """See `CredentialReader.read`."""
        try:
            facts = visit_pb2.VisitFacts.FromString(self._signer.verify(token))
            return visit_facts(facts) if facts.audience == AUDIENCE else None
        except (SignatureInvalid, DecodeError, ValueError, OverflowError):
            return None


def visit_facts(facts: visit_pb2.VisitFacts) -> VisitFacts:
    """The facts in the domain's words.

    Raises:
        ValueError: a code or date is none of this release.
        OverflowError: a moment is none.
    """
    return VisitFacts(
        jti=facts.jti,
        psn_no=facts.psn_no,
        fixmedins_code=facts.fixmedins_code,
        fixmedins_type=InstitutionType(facts.fixmedins_type),
        mdtrtarea_admvs=facts.mdtrtarea_admvs,
        designated=facts.designated,
        remote_settlement=facts.remote_settlement,
        enrolment=_enrolment(facts.enrolment) if facts.HasField("enrolment") else None,
        deceased=facts.deceased,
        filed=_filed(facts),
        issued_at=moment(facts.issued_at),
        expires_at=moment(facts.expires_at),
        inpatient=facts.inpatient,
    )


def _filed(facts: visit_pb2.VisitFacts) -> tuple[Filed, ...]:
    if not facts.filed:  # of the release before, which lived for minutes
        return tuple(Filed(admdvs) for admdvs in facts.filed_admdvs)
    return tuple(Filed(one.admdvs, date.fromisoformat(one.valid_to) if one.valid_to else None) for one in facts.filed)


def _enrolment(told: person_pb2.Enrolment) -> Enrolment:
    return _enrolment_of(told.insutype, told.psn_insu_stas, told.valid_from, told.valid_to)


@lru_cache(maxsize=4096)  # many people share a few
def _enrolment_of(insutype: int, psn_insu_stas: int, valid_from: str, valid_to: str) -> Enrolment:
    return Enrolment(
        insutype=InsuranceType(insutype),
        psn_insu_stas=InsuranceStatus(psn_insu_stas),
        valid_from=date.fromisoformat(valid_from),
        valid_to=date.fromisoformat(valid_to) if valid_to else None,
    )
