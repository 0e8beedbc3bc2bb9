"""VisitService."""

from typing import Any

from gongji.identity.v1 import visit_pb2, visit_pb2_grpc
from identity import codec
from identity.domain.certificate import masked_name
from identity.service.visits import Shown, VisitCertificateType, VisitService
from kit import auth


class VisitServicer(visit_pb2_grpc.VisitServiceServicer):
    """Serves `gongji.identity.v1.VisitService`."""

    def __init__(self, visits: VisitService) -> None:
        self._visits = visits

    async def Identify(  # noqa: N802 - the contract's name
        self, request: visit_pb2.IdentifyRequest, context: Any
    ) -> visit_pb2.IdentifyResponse:
        """See the contract."""
        del context
        identified = await self._visits.identify(_shown(request))
        visit = identified.visit
        return visit_pb2.IdentifyResponse(
            psn_no=visit.person.psn_no,
            masked_name=masked_name(visit.person.name),
            enrolment=codec.enrolment_message(visit.enrolment),
            visit_credential=identified.credential,
            expires_at=codec.timestamp(visit.expires_at),
            findings=codec.finding_numbers(identified.findings),
        )


def _shown(request: visit_pb2.IdentifyRequest) -> Shown:
    kind = codec.visit_certificate_type(request.mdtrt_cert_type)
    # Letters of a card's number are printed in upper case and typed in either; a token's case matters.
    number = request.mdtrt_cert_no
    return Shown(
        caller_code=auth.require_institution(),
        fixmedins_code=request.fixmedins_code,
        mdtrt_cert_type=kind,
        number=number if kind is VisitCertificateType.E_VOUCHER else number.upper(),
        name=request.psn_name,
        card_sn=request.card_sn.upper(),
        request_id=auth.current().request_id,
        inpatient=request.inpatient,
    )
