"""Tables as SQLAlchemy sees them; the migrations state them in full."""

from sqlalchemy import ARRAY, BigInteger, Column, Date, DateTime, Integer, LargeBinary, MetaData, Table, Text, Uuid

METADATA = MetaData()
_TIME = DateTime(timezone=True)


def _limits() -> list[Column[int]]:
    return [Column(f"{window}_fen", BigInteger) for window in ("settlement", "day", "month", "year", "total")]


APPLICATION = Table(
    "application",
    METADATA,
    Column("application_id", Uuid, primary_key=True),
    Column("applicant", Text),
    Column("payer_psn_no", Text),
    Column("beneficiary_psn_no", Text),
    Column("relationship", Text),
    *_limits(),
    Column("valid_from", Date),
    Column("valid_to", Date),
    Column("priority", Integer),
    Column("pledge_version", Text),
    Column("pledge_sha256", Text),
    Column("created_at", _TIME),
    Column("state", Text),
    Column("consented_at", _TIME),
    Column("submitted_at", _TIME),
    Column("region", Text),
    Column("due_on", Date),
    Column("handler", Text),
    Column("handlers", ARRAY(Text)),
    Column("claim_expires_at", _TIME),
    Column("handled_at", _TIME),
    Column("decider", Text),
    Column("decision_reason", Text),
    Column("decision_reason_code", Text),
    Column("decided_at", _TIME),
    Column("relation_id", Uuid),
    Column("sequence", BigInteger),
)

REVIEW_STEP = Table(
    "review_step",
    METADATA,
    Column("step_no", BigInteger, primary_key=True),
    Column("application_id", Uuid),
    Column("step", Text),
    Column("clerk", Text),
    Column("at", _TIME),
    Column("day", Date),
    Column("region", Text),
    Column("submitted_at", _TIME),
    Column("due_on", Date),
    Column("handed_to", Text),
    Column("reason_code", Text),
    Column("words", Text),
    Column("request_id", Uuid),
)

CONSENT = Table(
    "consent",
    METADATA,
    Column("application_id", Uuid),
    Column("psn_no", Text),
    Column("pledge_sha256", Text),
    Column("given_at", _TIME),
    Column("issuer", Text),
    Column("jti", Text),
    Column("assertion", Text),
)

PROOF = Table(
    "proof",
    METADATA,
    Column("proof_id", Uuid, primary_key=True),
    Column("application_id", Uuid),
    Column("kind", Text),
    Column("media_type", Text),
    Column("sha256", Text),
    Column("size_bytes", BigInteger),
    Column("kept_sha256", Text),
    Column("content_ct", LargeBinary),
)

PROOF_VIEW = Table(
    "proof_view",
    METADATA,
    Column("view_id", Uuid, primary_key=True),
    Column("application_id", Uuid),
    Column("proof_id", Uuid),
    Column("at", _TIME),
    Column("subject", Text),
    Column("role", Text),
)

RELATION = Table(
    "relation",
    METADATA,
    Column("relation_id", Uuid, primary_key=True),
    Column("application_id", Uuid),
    Column("payer_psn_no", Text),
    Column("beneficiary_psn_no", Text),
    Column("relationship", Text),
    Column("priority", Integer),
    *_limits(),
    Column("valid_from", Date),
    Column("valid_to", Date),
    Column("approved_at", _TIME),
    Column("state", Text),
    Column("state_reason", Text),
    Column("end_cause", Text),
    Column("ended_at", _TIME),
    Column("ended_from", Date),
    Column("suspended_at", _TIME),
    Column("sequence", BigInteger),
)
