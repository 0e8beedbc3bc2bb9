"""Why identity refuses. Messages and metadata never carry a name, a number, a telephone or a voucher."""

from collections.abc import Mapping


class IdentityRefusal(Exception):
    """A refusal with a reason of the platform's vocabulary (`gongji.common.v1.Reason` without `REASON_`)."""

    reason = "INTERNAL"
    message = ""

    def __init__(self, message: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message or self.message)
        self.metadata: Mapping[str, str] = dict(metadata or {})


class CertificateInvalid(IdentityRefusal):
    """The number is wrong in itself, whoever it is said to belong to (GB 11643-1999)."""

    reason = "CERTIFICATE_INVALID"


class RealNameMismatch(IdentityRefusal):
    """Name and certificate are not those of one insured person.

    One message for an unknown certificate and for a wrong name: telling them apart would let anybody ask whether a
    number is in the register.
    """

    reason = "REAL_NAME_MISMATCH"
    message = "name and certificate do not match the register of insured persons"


class RegistryUnavailable(IdentityRefusal):
    """The register that names are checked against gave no answer; it says nothing about the person."""

    reason = "UNAVAILABLE"
    message = "names cannot be checked just now, and nothing was recorded; send the same again later"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(metadata={"retry_after_seconds": str(retry_after_seconds)})


class VoucherInvalid(IdentityRefusal):
    """The voucher is unknown, was first shown elsewhere, or has run out; which of them is not told."""

    reason = "VOUCHER_INVALID"
    message = "the voucher is unknown, was used at another institution, or has run out; ask for a new one"


class PersonNotFound(IdentityRefusal):
    """There is no such person, or none that is registered."""

    reason = "NOT_FOUND"
    message = "no person of this psn_no is known here"


class InstitutionNotFound(IdentityRefusal):
    """There is no such institution."""

    reason = "NOT_FOUND"
    message = "no institution of this fixmedins_code is known here"


class NotEntitled(IdentityRefusal):
    """The caller is known and may not do this for that person."""

    reason = "FORBIDDEN"
    message = "one acts for oneself, or for a minor whom one registered"


class ForbiddenInstitution(IdentityRefusal):
    """The request names another institution than the caller."""

    reason = "FORBIDDEN_INSTITUTION"
    message = "fixmedins_code is not the calling institution's"


class InstitutionNotDesignated(IdentityRefusal):
    """The caller holds a certificate, but was never registered as a designated institution (R8)."""

    reason = "INSTITUTION_NOT_DESIGNATED"
    message = "this institution is not registered; the operators register it first"


class Deceased(IdentityRefusal):
    """The person has died, so cannot register any more."""

    reason = "DECEASED"
    message = "a death is recorded for this person"


class CertificateTaken(IdentityRefusal):
    """The number is on record for another person; who that is, is not told."""

    reason = "CERTIFICATE_TAKEN"
    message = "the certificate's number is on record for another person"


class CertificateNotFound(IdentityRefusal):
    """Nobody's certificate."""

    reason = "NOT_FOUND"
    message = "no person with this certificate is known here"


class FilingNotFound(IdentityRefusal):
    """There is no such filing of this person."""

    reason = "NOT_FOUND"
    message = "this person has no such filing"


class InstitutionSuspended(IdentityRefusal):
    """The calling institution is suspended."""

    reason = "INSTITUTION_SUSPENDED"
    message = "this institution is suspended"


class ChangeNotFound(IdentityRefusal):
    """There is no such proposal."""

    reason = "NOT_FOUND"
    message = "no proposal of this change_id is known here"


class ChangeDecided(IdentityRefusal):
    """The proposal was confirmed or rejected before."""

    reason = "STATE_FORBIDS"
    message = "this proposal is decided"


class ChangeOutdated(IdentityRefusal):
    """The institution has changed since the proposal was made."""

    reason = "CHANGE_OUTDATED"
    message = "the institution has changed since: reject this proposal and propose again"


class NothingToChange(IdentityRefusal):
    """The institution already is as proposed."""

    reason = "STATE_FORBIDS"
    message = "the institution already is so"


class FourEyes(IdentityRefusal):
    """Who proposed a change does not confirm it."""

    reason = "FOUR_EYES"
    message = "another operator than the one who proposed it confirms a change"
