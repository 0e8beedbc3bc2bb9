"""Who may call what. What is not here is refused."""

from kit.auth import AccessTable, people, services

APPLICATIONS = "gongji.binding.v1.ApplicationService"
REVIEWS = "gongji.binding.v1.ReviewService"
RELATIONS = "gongji.binding.v1.RelationService"
AUTHORIZATIONS = "gongji.binding.v1.AuthorizationService"
SERVICES = (APPLICATIONS, REVIEWS, RELATIONS, AUTHORIZATIONS)

_STAFF = people("handler", "decider", "operator", "auditor") | services("operator")
_OPERATORS = people("operator") | services("operator")

ACCESS: AccessTable = {
    f"/{APPLICATIONS}/CreateApplication": people("citizen"),
    f"/{APPLICATIONS}/UploadProof": people("citizen"),
    f"/{APPLICATIONS}/GiveConsent": people("citizen"),
    f"/{APPLICATIONS}/SubmitApplication": people("citizen"),
    f"/{APPLICATIONS}/GetApplication": people("citizen") | _STAFF,
    f"/{REVIEWS}/ListWaiting": people("handler", "decider"),
    f"/{REVIEWS}/ClaimApplication": people("handler"),
    f"/{REVIEWS}/DecideApplication": people("decider"),
    f"/{RELATIONS}/GetRelation": people("citizen") | _STAFF,
    f"/{RELATIONS}/ListRelations": people("citizen") | _STAFF,
    f"/{RELATIONS}/ChangeLimits": people("citizen"),
    f"/{RELATIONS}/UnbindRelation": people("citizen"),
    f"/{RELATIONS}/SuspendRelation": _OPERATORS,
    f"/{RELATIONS}/ResumeRelation": _OPERATORS,
    f"/{AUTHORIZATIONS}/Authorize": services("settlement"),
    f"/{AUTHORIZATIONS}/PreviewAuthorization": services("settlement"),
}
