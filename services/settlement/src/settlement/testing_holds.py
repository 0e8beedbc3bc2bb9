"""A double of what binding says it holds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from settlement.binding_holds import BindingSilentError, CapturedPage, HeldPage
from settlement.domain.holds import Hold, HoldState
from settlement.testing import TEN_O_CLOCK

NOTHING: Mapping[UUID, int] = MappingProxyType({})


@dataclass(slots=True)
class FakeHolds:
    """Authorizations in order of age; a page has two."""

    authorizations: dict[UUID, Hold] = field(default_factory=dict)
    asked: list[tuple[int, str]] = field(default_factory=list)
    silent: bool = False

    def put(
        self,
        authorization_id: UUID,
        state: HoldState = HoldState.HELD,
        charged: Mapping[UUID, int] = NOTHING,
        since: datetime = TEN_O_CLOCK,
    ) -> Hold:
        """Have an authorization of the child."""
        hold = Hold(authorization_id, state, "child", TEN_O_CLOCK, since, dict(charged))
        self.authorizations[authorization_id] = hold
        return hold

    async def held(self, min_age_seconds: int, token: str = "") -> HeldPage:
        """See `HoldsAtBinding.held`."""
        self.asked.append((min_age_seconds, token))
        if self.silent:
            raise BindingSilentError("binding did not say what it holds: UNAVAILABLE")
        held = [hold for hold in self.authorizations.values() if hold.state is HoldState.HELD]
        begin = int(token or 0)
        return HeldPage(held[begin : begin + 2], str(begin + 2) if begin + 2 < len(held) else "")

    async def captured(self, first: UUID) -> CapturedPage:
        """See `HoldsAtBinding.captured`."""
        if self.silent:
            raise BindingSilentError("binding did not say what it holds: UNAVAILABLE")
        ids = sorted(
            each for each, hold in self.authorizations.items() if each >= first and hold.state is HoldState.CAPTURED
        )
        return CapturedPage([self.authorizations[each] for each in ids[:2]], ids[2] if len(ids) > 2 else None)  # noqa: PLR2004

    async def find(self, ids: Collection[UUID]) -> dict[UUID, Hold]:
        """See `HoldsAtBinding.find`."""
        return {each: self.authorizations[each] for each in ids if each in self.authorizations}
