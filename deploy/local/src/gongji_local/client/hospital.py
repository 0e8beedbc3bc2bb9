"""A hospital's or pharmacy's information system (HIS)."""

import itertools
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Final

from gongji.identity.v1 import visit_pb2, visit_pb2_grpc
from gongji.settlement.v1 import settlement_pb2, settlement_pb2_grpc
from gongji_local.client.connections import TIMEOUT_SECONDS, Caller, Connections
from kit.clock import SHANGHAI

SEQUENCES_A_SECOND: Final = 10_000
# One counter for the process: two objects may stand for the same institution, and its msgids never repeat.
_sequence: Iterator[int] = itertools.count(1)


def msgid(fixmedins_code: str, at: datetime) -> str:
    """A new msgid: institution 12, yyyyMMddHHmmss 14 (Asia/Shanghai), sequence 4."""
    return f"{fixmedins_code}{at.astimezone(SHANGHAI):%Y%m%d%H%M%S}{next(_sequence) % SEQUENCES_A_SECOND:04}"


def bill(
    psn_no: str,
    *,
    medfee_sumamt: int,
    fund_pay_sumamt: int = 0,
    hosp_part_amt: int = 0,
    psn_part_amt: int | None = None,
    med_type: settlement_pb2.MedicalType.ValueType = settlement_pb2.MEDICAL_TYPE_OUTPATIENT,
    mdtrt_id: str | None = None,
) -> settlement_pb2.Bill:
    """A bill, amounts in fen; what is left to the person is the rest unless it is named, the visit a new one."""
    rest = medfee_sumamt - fund_pay_sumamt - hosp_part_amt
    return settlement_pb2.Bill(
        psn_no=psn_no,
        mdtrt_id=mdtrt_id or f"V{uuid.uuid4().hex[:24]}",
        med_type=med_type,
        medfee_sumamt=medfee_sumamt,
        fund_pay_sumamt=fund_pay_sumamt,
        hosp_part_amt=hosp_part_amt,
        psn_part_amt=rest if psn_part_amt is None else psn_part_amt,
    )


class Hospital(Caller):
    """One institution with its own certificate: identifies patients, previews, settles, reverses, asks.

    Args:
        connections: the channels to use.
        fixmedins_code: the institution; requests name it unless they are built elsewhere.
        timeout_seconds: the deadline of each call.
    """

    def __init__(
        self, connections: Connections, fixmedins_code: str, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        super().__init__(
            connections,
            title=f"HIS {fixmedins_code}",
            principal=f"institution/{fixmedins_code}",
            timeout_seconds=timeout_seconds,
        )
        self.fixmedins_code = fixmedins_code

    @property
    def visits(self) -> "visit_pb2_grpc.VisitServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return visit_pb2_grpc.VisitServiceStub(self.channel("identity"))

    @property
    def settlements(self) -> "settlement_pb2_grpc.SettlementServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return settlement_pb2_grpc.SettlementServiceStub(self.channel("settlement"))

    async def identify_by_voucher(self, voucher: str) -> visit_pb2.IdentifyResponse:
        """Reads the patient's e-voucher (医保电子凭证)."""
        return await self._identify(
            visit_pb2.IdentifyRequest(mdtrt_cert_type=visit_pb2.VISIT_CERTIFICATE_TYPE_E_VOUCHER, mdtrt_cert_no=voucher)
        )

    async def identify_by_identity_card(
        self, certno: str, psn_name: str, *, inpatient: bool = False
    ) -> visit_pb2.IdentifyResponse:
        """Reads the patient's identity card, at admission if `inpatient`."""
        return await self._identify(
            visit_pb2.IdentifyRequest(
                mdtrt_cert_type=visit_pb2.VISIT_CERTIFICATE_TYPE_IDENTITY_CARD,
                mdtrt_cert_no=certno,
                psn_name=psn_name,
                inpatient=inpatient,
            )
        )

    async def identify_by_social_security_card(self, certno: str, card_sn: str) -> visit_pb2.IdentifyResponse:
        """Reads the patient's social security card."""
        return await self._identify(
            visit_pb2.IdentifyRequest(
                mdtrt_cert_type=visit_pb2.VISIT_CERTIFICATE_TYPE_SOCIAL_SECURITY_CARD,
                mdtrt_cert_no=certno,
                card_sn=card_sn,
            )
        )

    async def _identify(self, request: visit_pb2.IdentifyRequest) -> visit_pb2.IdentifyResponse:
        request.fixmedins_code = self.fixmedins_code
        return await self.call(self.visits.Identify, request)

    async def preview(
        self,
        bill: settlement_pb2.Bill,
        visit_credential: str,
        *,
        acct_used_flag: bool = False,
        use_mutual_aid: bool = True,
        hold_under: str = "",
    ) -> settlement_pb2.PreSettleResponse:
        """Previews the split (预结算); with a msgid in `hold_under` it is held."""
        request = settlement_pb2.PreSettleRequest(
            fixmedins_code=self.fixmedins_code,
            bill=bill,
            visit_credential=visit_credential,
            acct_used_flag=acct_used_flag,
            use_mutual_aid=use_mutual_aid,
            hold=bool(hold_under),
            msgid=hold_under,
        )
        return await self.call(self.settlements.PreSettle, request)

    def settle_request(
        self,
        bill: settlement_pb2.Bill,
        visit_credential: str,
        *,
        at: datetime,
        msgid_: str | None = None,
        acct_used_flag: bool = False,
        use_mutual_aid: bool = True,
        expected: settlement_pb2.Split | None = None,
    ) -> settlement_pb2.SettleRequest:
        """A request to settle, made apart so that the very same one can be sent again.

        Args:
            bill: the bill.
            visit_credential: from an identification.
            at: the HIS's time, aware, for a new msgid.
            msgid_: the msgid, if it is not to be a new one.
            acct_used_flag: whether the patient's own account pays first.
            use_mutual_aid: whether payers are asked.
            expected: the preview's split; its two amounts are then expected.
        """
        request = settlement_pb2.SettleRequest(
            fixmedins_code=self.fixmedins_code,
            msgid=msgid_ or msgid(self.fixmedins_code, at),
            bill=bill,
            visit_credential=visit_credential,
            acct_used_flag=acct_used_flag,
            use_mutual_aid=use_mutual_aid,
        )
        if expected is not None:
            request.expected_acct_pay = expected.acct_pay
            request.expected_acct_mulaid_pay = expected.acct_mulaid_pay
        return request

    async def settle(
        self, request: settlement_pb2.SettleRequest, *, timeout_seconds: float | None = None
    ) -> settlement_pb2.Settlement:
        """Settles (结算): `SETTLED`, or `REVERSED` if it has been reversed since; everything else is an error."""
        answer = await self.call(self.settlements.Settle, request, timeout_seconds=timeout_seconds)
        return answer.settlement

    async def batch_settle(self, *requests: settlement_pb2.SettleRequest) -> list[settlement_pb2.SettleResult]:
        """Settles several bills, one after the other in their order; what became of each."""
        answer = await self.call(self.settlements.BatchSettle, settlement_pb2.BatchSettleRequest(items=requests))
        return list(answer.results)

    async def settle_stream(
        self, requests: AsyncIterator[settlement_pb2.SettleStreamRequest]
    ) -> AsyncIterator[settlement_pb2.SettleResult]:
        """Settles bills as they come; what became of each, as soon as it is known."""
        answers = self.settlements.SettleStream(requests, timeout=self._timeout_seconds, wait_for_ready=True)
        async for answer in answers:
            for result in answer.results:
                yield result

    async def reverse_by_msgid(
        self, original_msgid: str, *, at: datetime, reason: str = ""
    ) -> settlement_pb2.Settlement:
        """Reverses after an unknown outcome (冲正); never settled since then if it was not before."""
        return await self._reverse(at, settlement_pb2.ReverseRequest(original_msgid=original_msgid, reason=reason))

    async def reverse_by_setl_id(self, setl_id: str, *, at: datetime, reason: str = "") -> settlement_pb2.Settlement:
        """Cancels a settlement that is known (结算撤销)."""
        return await self._reverse(at, settlement_pb2.ReverseRequest(setl_id=setl_id, reason=reason))

    async def _reverse(self, at: datetime, request: settlement_pb2.ReverseRequest) -> settlement_pb2.Settlement:
        request.fixmedins_code = self.fixmedins_code
        request.msgid = msgid(self.fixmedins_code, at)
        return (await self.call(self.settlements.Reverse, request)).settlement

    async def resettle(self, request: settlement_pb2.ResettleRequest) -> settlement_pb2.ResettleResponse:
        """Cancels a settlement and settles its bill again, both or neither."""
        return await self.call(self.settlements.Resettle, request)

    async def settlement_by_msgid(self, msgid_: str) -> settlement_pb2.Settlement:
        """Asks for the outcome of a request."""
        request = settlement_pb2.GetSettlementRequest(fixmedins_code=self.fixmedins_code, msgid=msgid_)
        return (await self.call(self.settlements.GetSettlement, request)).settlement

    async def settlement_by_setl_id(self, setl_id: str) -> settlement_pb2.Settlement:
        """Asks for a settlement."""
        request = settlement_pb2.GetSettlementRequest(fixmedins_code=self.fixmedins_code, setl_id=setl_id)
        return (await self.call(self.settlements.GetSettlement, request)).settlement
