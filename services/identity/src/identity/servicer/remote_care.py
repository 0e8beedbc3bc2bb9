"""PersonService: filings of care elsewhere (异地就医备案)."""

from typing import Any
from uuid import UUID

from gongji.identity.v1 import person_pb2
from identity import codec
from identity.servicer.calling import viewer
from identity.servicer.services import PersonMethods


class RemoteCareMethods(PersonMethods):
    """See the contract."""

    async def FileRemoteCare(  # noqa: N802 - the contract's name
        self, request: person_pb2.FileRemoteCareRequest, context: Any
    ) -> person_pb2.FileRemoteCareResponse:
        """See the contract."""
        del context
        filing = await self._services.remote_care.file(codec.filing(request))
        return person_pb2.FileRemoteCareResponse(filing_id=str(filing.filing_id))

    async def CancelRemoteCare(  # noqa: N802 - the contract's name
        self, request: person_pb2.CancelRemoteCareRequest, context: Any
    ) -> person_pb2.CancelRemoteCareResponse:
        """See the contract."""
        del context
        cancelled = await self._services.remote_care.cancel(request.psn_no, UUID(request.filing_id))
        return person_pb2.CancelRemoteCareResponse(filing=codec.filing_message(cancelled))

    async def ListRemoteCare(  # noqa: N802 - the contract's name
        self, request: person_pb2.ListRemoteCareRequest, context: Any
    ) -> person_pb2.ListRemoteCareResponse:
        """See the contract."""
        del context
        size, before = codec.page_size(request.page_size), codec.place_in(request.page_token, UUID)
        found = await self._services.remote_care.filings(request.psn_no, viewer(), before, size + 1)
        filings, token = codec.page(found, size, lambda one: one.filing_id)
        return person_pb2.ListRemoteCareResponse(
            filings=[codec.filing_message(one) for one in filings], next_page_token=token
        )
