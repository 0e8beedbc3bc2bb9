"""The use cases behind PersonService, whose methods are spread over files by noun."""

from dataclasses import dataclass

from identity.service import (
    EnrolmentService,
    ImportService,
    PersonService,
    RegistrationService,
    RemoteCareService,
    VerificationService,
    VoucherService,
)


@dataclass(frozen=True, slots=True)
class PersonServices:
    """What serves `gongji.identity.v1.PersonService`."""

    imports: ImportService
    verifications: VerificationService
    registrations: RegistrationService
    persons: PersonService
    enrolments: EnrolmentService
    remote_care: RemoteCareService
    vouchers: VoucherService


class PersonMethods:
    """Some methods of PersonService."""

    def __init__(self, services: PersonServices) -> None:
        self._services = services
