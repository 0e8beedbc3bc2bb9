"""What an operator sees of a person's deliveries outside of the inbox."""

from gongji.notify.v1 import delivery_pb2, delivery_pb2_grpc
from gongji_local.client import Caller


async def deliveries_of(operator: Caller, psn_no: str) -> list[delivery_pb2.Delivery]:
    """Newest first."""
    stub: delivery_pb2_grpc.DeliveryServiceAsyncStub = delivery_pb2_grpc.DeliveryServiceStub(operator.channel("notify"))
    request = delivery_pb2.ListDeliveriesRequest(psn_no=psn_no)
    return list((await operator.call(stub.ListDeliveries, request)).deliveries)
