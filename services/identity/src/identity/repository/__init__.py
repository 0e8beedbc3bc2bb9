"""What identity keeps: the protocol of the repository, as service and tests know it; a file for each noun."""

from typing import Protocol

from identity.repository.access_log import (
    RECOGNISED,
    Access,
    AccessFilter,
    AccessRows,
    LoggedAccess,
    Operation,
)
from identity.repository.enrolments import EnrolmentRows, RecordedEnrolment
from identity.repository.imports import ImportRows
from identity.repository.institution_changes import InstitutionChangeRows, VersionedChange
from identity.repository.institutions import InstitutionRows
from identity.repository.persons import CorrectionMade, PersonRows
from identity.repository.remote_care import RemoteCareRows
from identity.repository.verifications import Attempt, AttemptRows, VerificationRows
from identity.repository.vouchers import VoucherRows
from kit.outbox import Outbox

__all__ = [
    "RECOGNISED",
    "Access",
    "AccessFilter",
    "Attempt",
    "CorrectionMade",
    "LoggedAccess",
    "Operation",
    "RecordedEnrolment",
    "Repository",
    "VersionedChange",
]


class Repository(
    PersonRows,
    EnrolmentRows,
    ImportRows,
    RemoteCareRows,
    VoucherRows,
    InstitutionRows,
    InstitutionChangeRows,
    AccessRows,
    VerificationRows,
    AttemptRows,
    Protocol,
):
    """One transaction's view. Methods named `lock…` keep what they return from changing until it ends."""

    @property
    def outbox(self) -> Outbox:
        """Facts to be told, in the same transaction."""
        ...
