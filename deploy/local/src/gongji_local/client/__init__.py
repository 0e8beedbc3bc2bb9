"""The services of a local stack as their callers see them: HIS, families, clerks, operators.

Everything goes over gRPC with the stack's own certificates and assertions, and every call has a deadline:

    async with Connections(stack) as connections:
        father = Portal(connections, psn_no)
        for message in await father.messages():
            print(message.title)
"""

from gongji_local.client.connections import Caller, CallRecord, Connections, StackAccess, reason_of
from gongji_local.client.console import Operator
from gongji_local.client.desk import Clerk
from gongji_local.client.hospital import Hospital, bill, msgid
from gongji_local.client.portal import Portal, ProofFile

__all__ = [
    "CallRecord",
    "Caller",
    "Clerk",
    "Connections",
    "Hospital",
    "Operator",
    "Portal",
    "ProofFile",
    "StackAccess",
    "bill",
    "msgid",
    "reason_of",
]
