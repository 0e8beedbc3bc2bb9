"""Who may call which method of identity; what is not here is refused."""

from typing import Final

from kit.auth import AccessTable, institutions, people, services

_PERSONS: Final = "/gongji.identity.v1.PersonService"
_INSTITUTIONS: Final = "/gongji.identity.v1.InstitutionService"
_IMPORTS: Final = "/gongji.identity.v1.RegisterImportService"
_VISITS: Final = "/gongji.identity.v1.VisitService"

_registry = services("operator", "registry")

ACCESS: Final[AccessTable] = {
    f"{_PERSONS}/ImportInsured": _registry,
    f"{_IMPORTS}/GetImport": _registry,
    f"{_IMPORTS}/ListImports": _registry,
    f"{_PERSONS}/RegisterPerson": people("citizen"),
    f"{_PERSONS}/GetPerson": people("citizen") | services("operator"),
    f"{_PERSONS}/RecordEnrolment": _registry,
    f"{_PERSONS}/RecordDeath": _registry,
    f"{_PERSONS}/FileRemoteCare": _registry,
    f"{_PERSONS}/IssueVoucher": people("citizen"),
    f"{_INSTITUTIONS}/RegisterInstitution": _registry,
    f"{_INSTITUTIONS}/GetInstitution": _registry,
    f"{_VISITS}/Identify": institutions(),
}
