"""From the call that is being served to the caller that the use cases know."""

from binding.domain.applications import Signed
from binding.service.caller import Caller, SignedConsent
from kit import auth
from kit.grpc_handlers import Context

__all__ = ["Context", "caller", "signed_consent"]


def signed_consent() -> SignedConsent:
    """What the assertion of the call that is being served signs."""
    assertion = auth.require_assertion()
    stated = assertion.consent
    signed = Signed(stated.application_id, stated.pledge_sha256) if stated else Signed("", "")
    return SignedConsent(signed, assertion.issuer, assertion.jti, assertion.token)


def caller() -> Caller:
    """Who makes the call that is being served; the access table has let them in."""
    call = auth.current()
    if call.assertion is None:
        return Caller(call.principal.name, service=call.principal.name)
    assertion = call.assertion
    return Caller(assertion.subject, assertion.psn_no, assertion.roles, call.principal.name)
