"""The desk of the clerks who review applications: one handles (经办), a different one decides (审核)."""

import uuid
from collections.abc import Sequence

from gongji.binding.v1 import application_pb2, decision_reason_pb2, review_pb2, review_pb2_grpc
from gongji_local.client.connections import Caller, Connections
from gongji_local.client.paging import gathered


class Clerk(Caller):
    """One clerk, through the portal, as a handler, a decider or both."""

    def __init__(
        self,
        connections: Connections,
        name: str,
        *,
        roles: tuple[str, ...] = ("handler", "decider"),
        psn_no: str = "",
    ) -> None:
        super().__init__(
            connections,
            title=f"clerk {name}",
            principal="service/portal",
            subject=f"clerk:{name}",
            roles=roles,
            psn_no=psn_no,
        )
        self.name = name

    @property
    def reviews(self) -> "review_pb2_grpc.ReviewServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return review_pb2_grpc.ReviewServiceStub(self.channel("binding"))

    async def waiting(
        self, region: str = "", state: review_pb2.QueueState.ValueType = review_pb2.QUEUE_STATE_UNSPECIFIED
    ) -> list[application_pb2.Application]:
        """Every application that waits, oldest due first."""

        async def page(token: str) -> tuple[list[application_pb2.Application], str]:
            request = review_pb2.ListWaitingRequest(page_size=200, page_token=token, region=region, state=state)
            answer = await self.call(self.reviews.ListWaiting, request)
            return list(answer.applications), answer.next_page_token

        return await gathered(page)

    async def claim_next(self, region: str = "") -> application_pb2.Application | None:
        """Takes the oldest due one of a region; None when nothing waits."""
        answer = await self.call(self.reviews.ClaimNext, review_pb2.ClaimNextRequest(region=region))
        return answer.application if answer.HasField("application") else None

    async def claim(self, application_id: str) -> application_pb2.Application:
        """Takes an application to handle it."""
        request = review_pb2.ClaimApplicationRequest(application_id=application_id)
        return (await self.call(self.reviews.ClaimApplication, request)).application

    async def finish(self, application_id: str) -> application_pb2.Application:
        """Leaves it to a decider."""
        request = review_pb2.FinishHandlingRequest(application_id=application_id)
        return (await self.call(self.reviews.FinishHandling, request)).application

    async def release(self, application_id: str) -> application_pb2.Application:
        """Gives it back to the queue."""
        request = review_pb2.ReleaseApplicationRequest(application_id=application_id)
        return (await self.call(self.reviews.ReleaseApplication, request)).application

    async def hand_over(self, application_id: str, to_handler: str, reason: str) -> application_pb2.Application:
        """Keeps it for another handler, such as `clerk:li`."""
        request = review_pb2.HandOverApplicationRequest(
            application_id=application_id, to_handler=to_handler, reason=reason
        )
        return (await self.call(self.reviews.HandOverApplication, request)).application

    async def decide_batch(
        self, items: Sequence[review_pb2.BatchDecideItem], request_id: str = ""
    ) -> list[review_pb2.BatchDecideResult]:
        """Decides many; an item without a request_id gets a new one."""
        for item in items:
            item.request_id = item.request_id or str(uuid.uuid4())
        request = review_pb2.BatchDecideRequest(request_id=request_id, items=items)
        return list((await self.call(self.reviews.BatchDecide, request)).results)

    async def approve(self, application_id: str) -> application_pb2.Application:
        """Approves: the relation is active at once."""
        return await self._decide(application_id, review_pb2.DECISION_APPROVE)

    async def reject(
        self, application_id: str, code: decision_reason_pb2.DecisionReason.ValueType, words: str = ""
    ) -> application_pb2.Application:
        """Rejects, for good."""
        return await self._decide(application_id, review_pb2.DECISION_REJECT, code, words)

    async def return_for_correction(
        self, application_id: str, code: decision_reason_pb2.DecisionReason.ValueType, words: str = ""
    ) -> application_pb2.Application:
        """Returns to the applicant, who may submit again."""
        return await self._decide(application_id, review_pb2.DECISION_RETURN, code, words)

    async def _decide(
        self,
        application_id: str,
        decision: review_pb2.Decision.ValueType,
        code: decision_reason_pb2.DecisionReason.ValueType = decision_reason_pb2.DECISION_REASON_UNSPECIFIED,
        words: str = "",
    ) -> application_pb2.Application:
        request = review_pb2.DecideApplicationRequest(
            application_id=application_id, decision=decision, reason_code=code, reason=words
        )
        return (await self.call(self.reviews.DecideApplication, request)).application
