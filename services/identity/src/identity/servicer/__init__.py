"""The contract's services: proto ⇄ domain, and who is calling. Who may call what is in `identity.access`."""

from gongji.identity.v1 import person_pb2_grpc
from identity.servicer.access_log import AccessLogServicer
from identity.servicer.enrolments import EnrolmentMethods
from identity.servicer.imports import ImportMethods, RegisterImportServicer
from identity.servicer.institutions import InstitutionServicer
from identity.servicer.persons import SinglePersonMethods
from identity.servicer.registrations import RegistrationMethods
from identity.servicer.remote_care import RemoteCareMethods
from identity.servicer.services import PersonServices
from identity.servicer.verifications import VerificationMethods
from identity.servicer.visits import VisitServicer
from identity.servicer.vouchers import VoucherMethods

__all__ = [
    "AccessLogServicer",
    "InstitutionServicer",
    "PersonServicer",
    "PersonServices",
    "RegisterImportServicer",
    "VisitServicer",
]


class PersonServicer(
    ImportMethods,
    VerificationMethods,
    RegistrationMethods,
    SinglePersonMethods,
    EnrolmentMethods,
    RemoteCareMethods,
    VoucherMethods,
    person_pb2_grpc.PersonServiceServicer,
):
    """Serves `gongji.identity.v1.PersonService`; a file for each noun has its methods."""
