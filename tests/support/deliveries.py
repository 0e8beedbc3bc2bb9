"""Deliveries outside of the inbox: what an operator sees of them, and what time does to them."""

import asyncpg

from gongji.notify.v1 import delivery_pb2, delivery_pb2_grpc
from gongji_local.client import Caller
from gongji_local.stack import Stack


async def deliveries_of(operator: Caller, psn_no: str) -> list[delivery_pb2.Delivery]:
    """Newest first."""
    stub: delivery_pb2_grpc.DeliveryServiceAsyncStub = delivery_pb2_grpc.DeliveryServiceStub(operator.channel("notify"))
    request = delivery_pb2.ListDeliveriesRequest(psn_no=psn_no)
    return list((await operator.call(stub.ListDeliveries, request)).deliveries)


async def end_leases(stack: Stack) -> None:
    """As if so much time had passed that whatever a process had taken from the queue may be taken by another."""
    connection = await asyncpg.connect(stack.info.database_urls["notify"])
    try:
        await connection.execute("UPDATE delivery SET leased_until = clock_timestamp() WHERE leased_until IS NOT NULL")
    finally:
        await connection.close()
