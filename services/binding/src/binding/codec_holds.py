"""Authorizations as they stand, as the contract carries them."""

from binding.codec import page_token
from binding.domain.authorizations import AuthorizationState, Recorded
from binding.repository import Place
from gongji.binding.v1 import authorization_pb2 as pb2
from kit.timestamps import timestamp

_STATES = {
    AuthorizationState.HELD: pb2.AUTHORIZATION_STATE_HELD,
    AuthorizationState.CAPTURED: pb2.AUTHORIZATION_STATE_CAPTURED,
    AuthorizationState.RELEASED: pb2.AUTHORIZATION_STATE_RELEASED,
    AuthorizationState.RESTORED: pb2.AUTHORIZATION_STATE_RESTORED,
}


def record_message(recorded: Recorded) -> pb2.AuthorizationRecord:
    """An authorization with what it charges."""
    authorization = recorded.authorization
    return pb2.AuthorizationRecord(
        authorization_id=str(authorization.authorization_id),
        state=_STATES[authorization.state],
        beneficiary_psn_no=authorization.beneficiary_psn_no,
        occurred_at=timestamp(authorization.occurred_at),
        created_at=timestamp(recorded.created_at),
        lines=[
            pb2.ChargedLine(relation_id=str(line.relation_id), held_fen=line.held_fen, used_fen=line.used_fen)
            for line in authorization.lines
            if line.held_fen or line.used_fen
        ],
    )


def next_token(last: Recorded) -> str:
    """For the page that follows the one that ends here."""
    return page_token(Place(last.created_at, last.authorization.authorization_id))
