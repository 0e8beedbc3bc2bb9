"""What a caller asks of the settle pipeline."""

from dataclasses import dataclass
from uuid import UUID

from settlement.domain.state import Order
from settlement.repository import MsgKey
from settlement.visits import Presented


@dataclass(frozen=True, slots=True)
class Command:
    """A request to settle or to hold: what is ordered, and the credential, which is not part of its identity."""

    order: Order
    credential: str
    original: str | UUID | None = None
    """The settlement that is settled again, by msgid or by id; None when there is none."""

    @property
    def key(self) -> MsgKey:
        """What the request is known by."""
        return self.order.fixmedins_code, self.order.msgid

    @property
    def is_visit(self) -> bool:
        """Whether it comes with a credential: neither a premium nor a bill that is settled again."""
        return self.original is None and self.order.premium is None

    @property
    def presented(self) -> Presented:
        """The visit that it is about."""
        return Presented(self.order.fixmedins_code, self.order.bill, self.credential)
