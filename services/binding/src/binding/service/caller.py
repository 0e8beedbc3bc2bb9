"""Who asks, as far as the use cases care."""

from dataclasses import dataclass

from binding.domain.applications import Application, Signed
from binding.domain.errors import Forbidden
from binding.domain.history import Who
from binding.domain.relations import Relation
from binding.domain.reviews import Clerk

CLERK_ROLES = frozenset({"handler", "decider", "operator", "auditor"})
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class SignedConsent:
    """What the caller's assertion signs, and the evidence."""

    signed: Signed
    issuer: str
    jti: str
    assertion: str


@dataclass(frozen=True, slots=True)
class Caller:
    """A person through the portal, or the operators' console."""

    subject: str
    """`psn:<psn_no>` or `clerk:<name>`; the service's name where no person is behind the call."""
    psn_no: str | None = None
    roles: frozenset[str] = frozenset()
    service: str = "portal"

    @property
    def is_staff(self) -> bool:
        """Whether they see what they are no party to."""
        return self.service == OPERATOR or not self.roles.isdisjoint(CLERK_ROLES)

    @property
    def clerk(self) -> Clerk:
        """The caller as a clerk."""
        return Clerk(self.subject, self.psn_no)

    @property
    def who(self) -> Who:
        """The caller as a history names them."""
        return Who(self.subject, ",".join(sorted(self.roles)) or self.service)

    def require_self(self, psn_no: str, message: str) -> None:
        """Raises Forbidden unless the caller is this person."""
        if self.psn_no != psn_no:
            raise Forbidden(message)

    def require_sight(self, it: Application | Relation) -> None:
        """Raises Forbidden unless the caller is a party to it, or staff."""
        if not self.is_staff and self.psn_no not in {it.payer_psn_no, it.beneficiary_psn_no}:
            raise Forbidden("only parties and clerks may see this")
