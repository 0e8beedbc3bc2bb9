"""The metrics of identity."""

from typing import Final

from kit.metrics import Declaring, Label

_IDENTITY: Final = Declaring("identity")

CHECKS: Final = _IDENTITY.counter(
    "gongji_identity_real_name_requests_total",
    "Requests to the regional platform, by what they came to.",
    unit="requests",
    labels=(Label("outcome", "what the platform answered", ("MATCH", "MISMATCH", "UNAVAILABLE")),),
)
