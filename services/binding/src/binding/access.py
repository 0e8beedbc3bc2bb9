"""Who may call what. What is not here is refused."""

from gongji.binding.v1 import application_pb2, authorization_pb2, relation_pb2, review_pb2
from kit.auth import AccessTable, people, services

APPLICATIONS = application_pb2.DESCRIPTOR.services_by_name["ApplicationService"].full_name
REVIEWS = review_pb2.DESCRIPTOR.services_by_name["ReviewService"].full_name
RELATIONS = relation_pb2.DESCRIPTOR.services_by_name["RelationService"].full_name
AUTHORIZATIONS = authorization_pb2.DESCRIPTOR.services_by_name["AuthorizationService"].full_name
SERVICES = (APPLICATIONS, REVIEWS, RELATIONS, AUTHORIZATIONS)

_STAFF = people("handler", "decider", "operator", "auditor") | services("operator")
_CLERKS = people("handler", "decider")
_OPERATORS = people("operator") | services("operator")

ACCESS: AccessTable = {
    f"/{APPLICATIONS}/CreateApplication": people("citizen"),
    f"/{APPLICATIONS}/UpdateApplication": people("citizen"),
    f"/{APPLICATIONS}/DownloadProof": people("citizen") | _STAFF,
    f"/{APPLICATIONS}/ListProofViews": people("auditor"),
    f"/{APPLICATIONS}/RemoveProof": people("citizen"),
    f"/{APPLICATIONS}/GetPledge": people("citizen") | _STAFF,
    f"/{APPLICATIONS}/WithdrawApplication": people("citizen"),
    f"/{APPLICATIONS}/ListApplications": people("citizen") | _STAFF,
    f"/{APPLICATIONS}/UploadProof": people("citizen"),
    f"/{APPLICATIONS}/GiveConsent": people("citizen"),
    f"/{APPLICATIONS}/SubmitApplication": people("citizen"),
    f"/{APPLICATIONS}/GetApplication": people("citizen") | _STAFF,
    f"/{APPLICATIONS}/ListHistory": people("citizen") | _STAFF,
    f"/{REVIEWS}/ListWaiting": _CLERKS,
    f"/{REVIEWS}/CountWaiting": _CLERKS | people("operator", "auditor"),
    f"/{REVIEWS}/ListReasons": _CLERKS,
    f"/{REVIEWS}/ClaimApplication": people("handler"),
    f"/{REVIEWS}/ClaimNext": people("handler"),
    f"/{REVIEWS}/FinishHandling": people("handler"),
    f"/{REVIEWS}/ReleaseApplication": people("handler"),
    f"/{REVIEWS}/HandOverApplication": people("handler"),
    f"/{REVIEWS}/DecideApplication": people("decider"),
    f"/{REVIEWS}/BatchDecide": people("decider"),
    f"/{REVIEWS}/GetReviewStatistics": people("decider", "operator", "auditor"),
    f"/{RELATIONS}/GetRelation": people("citizen") | _STAFF,
    f"/{RELATIONS}/ListRelations": people("citizen") | _STAFF,
    f"/{RELATIONS}/ListHistory": people("citizen") | _STAFF,
    f"/{RELATIONS}/ChangeLimits": people("citizen"),
    f"/{RELATIONS}/ExtendValidity": people("citizen"),
    f"/{RELATIONS}/ListPayers": people("citizen") | _STAFF,
    f"/{RELATIONS}/OrderPayers": people("citizen"),
    f"/{RELATIONS}/GetOverview": people("citizen") | _STAFF,
    f"/{RELATIONS}/UnbindRelation": people("citizen"),
    f"/{RELATIONS}/SuspendRelation": _OPERATORS,
    f"/{RELATIONS}/ResumeRelation": _OPERATORS,
    f"/{AUTHORIZATIONS}/Authorize": services("settlement"),
    f"/{AUTHORIZATIONS}/PreviewAuthorization": services("settlement"),
    f"/{AUTHORIZATIONS}/ListHeld": services("settlement"),
    f"/{AUTHORIZATIONS}/ListCaptured": services("settlement"),
    f"/{AUTHORIZATIONS}/GetAuthorizations": services("settlement"),
}
