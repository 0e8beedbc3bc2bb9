"""Who calls, as the use cases want to know it."""

from typing import Final

from identity.service import Means, Registrant, Viewer
from kit import auth

_REGISTRY: Final = auth.Principal("service", "registry")


def viewer() -> Viewer:
    """Who wants to see a person. Which rights a method admits is in the access table."""
    call = auth.current()
    if call.assertion is None:
        means = Means.REGISTRY if call.principal == _REGISTRY else Means.OPERATOR
        return Viewer(str(call.principal), means, call.request_id)
    caller = f"{call.principal} {call.assertion.subject}"
    if "citizen" not in call.assertion.roles:
        means = Means.AUDITOR if "auditor" in call.assertion.roles else Means.OPERATOR
        return Viewer(caller, means, call.request_id)
    # Somebody without a psn_no of their own is nobody's viewer: empty matches no person.
    return Viewer(caller, Means.CITIZEN, call.request_id, call.assertion.psn_no or "")


def registrant() -> Registrant:
    """Who wants to register somebody."""
    call, assertion = auth.current(), auth.require_assertion()
    return Registrant(f"{call.principal} {assertion.subject}", assertion.psn_no, call.request_id)


def operator() -> str:
    """The operator who decides, by the assertion's subject: what four eyes go by."""
    return auth.require_assertion().subject
