"""The disk that keeps the log is full: calls are answered all the same, and what was lost is counted."""

import grpc
import pytest
from support.starting import Fresh, Ground

from gongji.identity.v1 import institution_pb2, institution_pb2_grpc
from gongji_local.ports import LOOPBACK
from kit.errors import reason_of
from kit.grpc_client import TlsFiles, secure_channel

FEW_BYTES = 2048
CALLS = 20


async def test_calls_are_answered_without_room_for_the_log(ground: Ground, service_database: Fresh) -> None:
    environment = ground.environment("identity", service_database("identity"))
    own = ground.certificates.service("settlement")
    tls = TlsFiles(cert=own.cert, key=own.key, ca=ground.certificates.services.file)
    with ground.started("identity", environment, most_bytes=FEW_BYTES) as process:
        process.says(lambda probe: probe.ready)
        async with secure_channel(environment["GONGJI_GRPC_ADDRESS"].replace("0.0.0.0", LOOPBACK), tls) as channel:
            stub = institution_pb2_grpc.InstitutionServiceStub(channel)
            for _ in range(CALLS):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.GetInstitution(
                        institution_pb2.GetInstitutionRequest(fixmedins_code="H65270100001"), timeout=10
                    )
                assert reason_of(caught.value) == "FORBIDDEN"
        assert process.log.stat().st_size <= FEW_BYTES
        assert process.metric("gongji_log_lines_lost_total") >= CALLS / 2
        assert process.readyz().ready
