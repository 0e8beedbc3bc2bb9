"""Who may call which method of identity; what is not here is refused."""

from typing import Final

from kit.auth import AccessTable, institutions, people, services

_PERSONS: Final = "/gongji.identity.v1.PersonService"
_INSTITUTIONS: Final = "/gongji.identity.v1.InstitutionService"
_IMPORTS: Final = "/gongji.identity.v1.RegisterImportService"
_ACCESS_LOG: Final = "/gongji.identity.v1.AccessLogService"
_VISITS: Final = "/gongji.identity.v1.VisitService"

OWN_CAPS_SECONDS: Final = {f"{_PERSONS}/ImportInsured": 300.0}
"""Streams that may take longer than other calls: half a million rows of the register."""

_feed = services("registry")
_office = services("operator", "registry")
_operators = people("operator")
_party_or_office = people("citizen", "operator") | _office

ACCESS: Final[AccessTable] = {
    f"{_PERSONS}/ImportInsured": _office,
    f"{_IMPORTS}/GetImport": _office,
    f"{_IMPORTS}/ListImports": _office,
    f"{_PERSONS}/StartVerification": people("citizen"),
    f"{_PERSONS}/RegisterPerson": people("citizen"),
    f"{_PERSONS}/GetPerson": _party_or_office,
    f"{_PERSONS}/RecordEnrolment": _office,
    f"{_PERSONS}/RecordDeath": _office,
    f"{_PERSONS}/FileRemoteCare": _office,
    f"{_PERSONS}/IssueVoucher": people("citizen"),
    f"{_PERSONS}/CorrectPerson": _office | _operators,
    f"{_PERSONS}/AddCertificate": _office | _operators,
    f"{_PERSONS}/FindPersonByCertificate": _office | _operators,
    f"{_PERSONS}/GetEnrolment": _party_or_office,
    f"{_PERSONS}/ListEnrolments": _party_or_office,
    f"{_PERSONS}/CancelRemoteCare": _office | _operators,
    f"{_PERSONS}/ListRemoteCare": _party_or_office,
    # People change an institution by proposing and confirming, never by one call.
    f"{_INSTITUTIONS}/RegisterInstitution": _feed,
    f"{_INSTITUTIONS}/GetInstitution": _office | _operators,
    f"{_INSTITUTIONS}/ListInstitutions": _office | _operators,
    f"{_INSTITUTIONS}/ProposeInstitutionChange": _operators,
    f"{_INSTITUTIONS}/ConfirmInstitutionChange": _operators,
    f"{_INSTITUTIONS}/RejectInstitutionChange": _operators,
    f"{_INSTITUTIONS}/ListInstitutionChanges": _operators,
    f"{_ACCESS_LOG}/ListAccess": people("citizen", "auditor"),
    f"{_VISITS}/Identify": institutions(),
}
