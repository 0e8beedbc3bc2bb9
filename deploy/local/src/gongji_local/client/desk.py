"""The desk of the clerks who review applications: one handles (经办), a different one decides (审核)."""

from gongji.binding.v1 import application_pb2, decision_reason_pb2, review_pb2, review_pb2_grpc
from gongji_local.client.connections import Caller, Connections
from gongji_local.client.paging import gathered


class Clerk(Caller):
    """One clerk, through the portal, as a handler, a decider or both."""

    def __init__(self, connections: Connections, name: str, *, roles: tuple[str, ...] = ("handler", "decider")) -> None:
        super().__init__(
            connections, title=f"clerk {name}", principal="service/portal", subject=f"clerk:{name}", roles=roles
        )
        self.name = name

    @property
    def reviews(self) -> "review_pb2_grpc.ReviewServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return review_pb2_grpc.ReviewServiceStub(self.channel("binding"))

    async def waiting(self) -> list[application_pb2.Application]:
        """Every application that waits, oldest first."""

        async def page(token: str) -> tuple[list[application_pb2.Application], str]:
            request = review_pb2.ListWaitingRequest(page_size=200, page_token=token)
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
