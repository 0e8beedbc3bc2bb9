"""What is known about the call that the running task serves."""

from contextvars import ContextVar
from dataclasses import dataclass, field

from kit.auth.assertions import Assertion
from kit.auth.principals import Principal
from kit.clock import Elapsed
from kit.errors import Refusal


@dataclass(frozen=True, slots=True)
class Deadline:
    """By when the caller wants its answer."""

    seconds: float
    """How much there was when the call began, after the server's cap."""
    _since: Elapsed = field(default_factory=Elapsed, repr=False, compare=False)

    @property
    def remaining_seconds(self) -> float:
        """How much is left; never negative."""
        return max(0.0, self.seconds - self._since.seconds)


@dataclass(frozen=True, slots=True)
class CallContext:
    """The call that is being served."""

    method: str
    """Such as `/gongji.settlement.v1.SettlementService/Settle`."""
    principal: Principal
    assertion: Assertion | None
    request_id: str
    deadline: Deadline


class NoCallError(Exception):
    """Code that only makes sense while serving a call ran outside of one; a fault in the code."""


_current: ContextVar[CallContext | None] = ContextVar("call", default=None)


def current() -> CallContext:
    """The call that the running task serves.

    Raises:
        NoCallError: it serves none.
    """
    call = _current.get()
    if call is None:
        raise NoCallError("no call is being served here; batches and background work get what they need as arguments")
    return call


def current_or_none() -> CallContext | None:
    """The same, or None in background work."""
    return _current.get()


def enter(call: CallContext) -> None:
    """Make this the call of the running task (which ends with the call)."""
    _current.set(call)


def require_assertion() -> Assertion:
    """The assertion about the person behind the call.

    Raises:
        Refusal: `UNAUTHENTICATED` if there is none.
    """
    assertion = current().assertion
    if assertion is None:
        raise Refusal("UNAUTHENTICATED", "this call is made for a person: send x-gongji-assertion")
    return assertion


def require_institution() -> str:
    """The calling institution's fixmedins_code.

    Raises:
        Refusal: `FORBIDDEN` if the caller is not an institution.
    """
    principal = current().principal
    if principal.kind != "institution":
        raise Refusal("FORBIDDEN", f"{principal} is not an institution")
    return principal.name
