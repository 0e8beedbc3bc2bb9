"""What identity does, one transaction each: load the state, decide by the domain's rules, save and tell."""

from identity.service.enrolments import EnrolmentService
from identity.service.imports import ImportService
from identity.service.institutions import InstitutionService
from identity.service.persons import PersonService, Viewer
from identity.service.registrations import RegistrationService
from identity.service.remote_care import RemoteCareService
from identity.service.visits import VisitService
from identity.service.vouchers import VoucherService

__all__ = [
    "EnrolmentService",
    "ImportService",
    "InstitutionService",
    "PersonService",
    "RegistrationService",
    "RemoteCareService",
    "Viewer",
    "VisitService",
    "VoucherService",
]
