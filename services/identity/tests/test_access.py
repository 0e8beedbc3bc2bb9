from identity.access import ACCESS
from identity.domain.refusals import IdentityRefusal
from kit.auth import Access, institutions, people, services, uncovered
from kit.errors import table
from kit.grpc_server import methods_of

SERVICES = [
    f"gongji.identity.v1.{name}"
    for name in (
        "PersonService",
        "RegisterImportService",
        "InstitutionService",
        "AccessLogService",
        "VisitService",
    )
]
OFFICE = services("operator", "registry")


def test_every_method_of_the_contract_is_in_the_table() -> None:
    assert uncovered(methods_of(*SERVICES), ACCESS) == set()


def test_the_table_has_nothing_that_the_contract_has_not() -> None:
    assert set(ACCESS) - methods_of(*SERVICES) == set()


def test_who_may_call_what() -> None:
    clerks = people("operator")
    party = people("citizen", "operator") | OFFICE
    expected: dict[str, Access] = {
        "ImportInsured": OFFICE,
        "GetImport": OFFICE,
        "ListImports": OFFICE,
        "RegisterPerson": people("citizen"),
        "StartVerification": people("citizen"),
        "GetPerson": party,
        "RecordEnrolment": OFFICE,
        "RecordDeath": OFFICE,
        "FileRemoteCare": OFFICE,
        "IssueVoucher": people("citizen"),
        "CorrectPerson": OFFICE | clerks,
        "AddCertificate": OFFICE | clerks,
        "FindPersonByCertificate": OFFICE | clerks,
        "GetEnrolment": party,
        "ListEnrolments": party,
        "CancelRemoteCare": OFFICE | clerks,
        "ListRemoteCare": party,
        "RegisterInstitution": services("registry"),
        "GetInstitution": OFFICE | clerks,
        "ListInstitutions": OFFICE | clerks,
        "ProposeInstitutionChange": clerks,
        "ConfirmInstitutionChange": clerks,
        "RejectInstitutionChange": clerks,
        "ListInstitutionChanges": clerks,
        "ListAccess": people("citizen", "auditor"),
        "Identify": institutions(),
    }
    assert {method.rpartition("/")[2]: access for method, access in ACCESS.items()} == expected


def test_every_refusal_has_a_reason_of_the_platforms_table() -> None:
    reasons = {refusal.reason for refusal in IdentityRefusal.__subclasses__()}
    assert reasons <= set(table())
    assert "INTERNAL" not in reasons
