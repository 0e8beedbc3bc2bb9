"""Who calls, and what they may call."""

from kit.auth.access import Access, AccessTable, institutions, people, services, uncovered
from kit.auth.assertions import Assertion, AssertionVerifier, Consent
from kit.auth.call import CallContext, Deadline, current, enter, require_assertion, require_institution
from kit.auth.principals import Denylist, PeerIdentity, Principal

__all__ = [
    "Access",
    "AccessTable",
    "Assertion",
    "AssertionVerifier",
    "CallContext",
    "Consent",
    "Deadline",
    "Denylist",
    "PeerIdentity",
    "Principal",
    "current",
    "enter",
    "institutions",
    "people",
    "require_assertion",
    "require_institution",
    "services",
    "uncovered",
]
