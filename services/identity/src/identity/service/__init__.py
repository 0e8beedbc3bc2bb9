"""What identity does, one transaction each: load the state, decide by the domain's rules, save and tell."""

from identity.service.access_log import AccessLogService
from identity.service.attempts import Gate, Registrant
from identity.service.enrolments import EnrolmentService
from identity.service.imports import ImportService
from identity.service.institution_changes import InstitutionChangeService
from identity.service.institutions import InstitutionService
from identity.service.persons import PersonService
from identity.service.real_names import RealNameCheck
from identity.service.registrations import RegistrationService
from identity.service.remote_care import RemoteCareService
from identity.service.verifications import Sealer, ShownCode, VerificationService
from identity.service.viewing import Means, Viewer
from identity.service.visits import VisitService
from identity.service.vouchers import VoucherService

__all__ = [
    "AccessLogService",
    "EnrolmentService",
    "Gate",
    "ImportService",
    "InstitutionChangeService",
    "InstitutionService",
    "Means",
    "PersonService",
    "RealNameCheck",
    "Registrant",
    "RegistrationService",
    "RemoteCareService",
    "Sealer",
    "ShownCode",
    "VerificationService",
    "Viewer",
    "VisitService",
    "VoucherService",
]
