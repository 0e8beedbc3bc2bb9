"""PersonService: filings of care elsewhere (异地就医备案)."""

from typing import Any

from gongji.identity.v1 import person_pb2
from identity import codec
from identity.servicer.services import PersonMethods


class RemoteCareMethods(PersonMethods):
    """See the contract."""

    async def FileRemoteCare(  # noqa: N802 - the contract's name
        self, request: person_pb2.FileRemoteCareRequest, context: Any
    ) -> person_pb2.FileRemoteCareResponse:
        """See the contract."""
        del context
        first, last = codec.period(request.valid_from, request.valid_to)
        filing = await self._services.remote_care.file_remote_care(request.psn_no, request.admdvs, first, last)
        return person_pb2.FileRemoteCareResponse(filing_id=str(filing.filing_id))
