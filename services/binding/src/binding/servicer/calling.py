"""From the call that is being served to the caller that the use cases know."""

from binding.service.caller import Caller
from kit import auth
from kit.grpc_handlers import Context

__all__ = ["Context", "caller"]


def caller() -> Caller:
    """Who makes the call that is being served; the access table has let them in."""
    call = auth.current()
    if call.assertion is None:
        return Caller(call.principal.name, service=call.principal.name)
    assertion = call.assertion
    return Caller(assertion.subject, assertion.psn_no, assertion.roles, call.principal.name)
