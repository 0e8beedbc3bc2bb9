"""What a family sees of its relations, as the contract carries it."""

from collections.abc import Sequence

from binding import codec
from binding.domain.overviews import Overview, WindowView
from binding.domain.relations import Relation
from binding.domain.sides import Side
from binding.service.overviews import Overviews
from gongji.binding.v1 import relation_pb2

_SIDES = {
    relation_pb2.RELATION_SIDE_PAYER: Side.PAYER,
    relation_pb2.RELATION_SIDE_BENEFICIARY: Side.BENEFICIARY,
}


def side_of(value: relation_pb2.RelationSide.ValueType) -> Side:
    """A side from the contract, which has refused the unknown ones."""
    return _SIDES[value]


def places(relations: Sequence[Relation]) -> list[relation_pb2.PayerPlace]:
    """Payers in their order, without the terms of their relations."""
    return [
        relation_pb2.PayerPlace(
            payer_psn_no=relation.payer_psn_no,
            relation_id=str(relation.relation_id),
            priority=relation.priority,
            state=codec.relation_state_value(relation.state),
        )
        for relation in relations
    ]


def overview_message(seen: Overviews) -> relation_pb2.GetOverviewResponse:
    """An overview."""
    return relation_pb2.GetOverviewResponse(
        day=seen.day.isoformat(), relations=[_view(it, seen) for it in seen.relations], more=seen.more
    )


def _view(it: Overview, seen: Overviews) -> relation_pb2.RelationView:
    return relation_pb2.RelationView(
        relation=codec.relation_message(it.relation, seen.day, seen.uses),
        windows=[_window(window) for window in it.windows],
        payable_fen=it.payable_fen,
        reason=codec.reason_value(it.reason),
    )


def _window(view: WindowView) -> relation_pb2.WindowView:
    return relation_pb2.WindowView(
        window=codec.window_value(view.window),
        limit_fen=view.limit_fen,
        used_fen=view.used_fen,
        held_fen=view.held_fen,
        left_fen=view.left_fen,
    )
