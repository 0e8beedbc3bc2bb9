"""DeliveryService: from requests to the service."""

from typing import Any, Final

from gongji.notify.v1 import delivery_pb2, delivery_pb2_grpc
from notify.delivery_codec import delivery_to_proto, delivery_token, filter_of, place_of
from notify.delivery_service import DeliveryService

DEFAULT_PAGE_SIZE: Final = 50


class DeliveryServicer(delivery_pb2_grpc.DeliveryServiceServicer):
    """Where deliveries stand, for operators."""

    def __init__(self, service: DeliveryService) -> None:
        self._service = service

    async def ListDeliveries(  # noqa: N802 - the contract's name
        self, request: delivery_pb2.ListDeliveriesRequest, context: Any
    ) -> delivery_pb2.ListDeliveriesResponse:
        """Deliveries, newest first."""
        del context
        wanted, before = filter_of(request), place_of(request.page_token)
        page = await self._service.list(wanted, request.page_size or DEFAULT_PAGE_SIZE, before)
        return delivery_pb2.ListDeliveriesResponse(
            deliveries=[delivery_to_proto(delivery) for delivery in page.deliveries],
            next_page_token=delivery_token(page.next),
        )
