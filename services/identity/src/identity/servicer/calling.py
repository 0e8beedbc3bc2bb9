"""Who calls, as the use cases want to know it."""

from identity.service import Viewer
from kit import auth


def viewer() -> Viewer:
    """Who wants to see a person."""
    call = auth.current()
    if call.assertion is None:
        return Viewer(str(call.principal), None, call.request_id)
    caller = f"{call.principal} {call.assertion.subject}"
    # Somebody without a psn_no of their own is nobody's viewer: empty matches no person.
    return Viewer(caller, call.assertion.psn_no or "", call.request_id)
