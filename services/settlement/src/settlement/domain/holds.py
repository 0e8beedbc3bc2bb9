"""What binding says of an authorization (授权额度占用), and what settlement has to say about it. Amounts are in fen."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from settlement.domain.allocate import Line
from settlement.domain.state import Settlement, fenced

UNKNOWN_INSTITUTION: Final = "UNKNOWN"
"""Stands for the institution of an authorization that nothing here is known of."""


class HoldState(StrEnum):
    """Where an authorization stands at binding."""

    HELD = "HELD"
    CAPTURED = "CAPTURED"
    RELEASED = "RELEASED"
    RESTORED = "RESTORED"


@dataclass(frozen=True, slots=True)
class Hold:
    """An authorization as binding has it."""

    authorization_id: UUID
    """Also of the settlement or the held preview."""
    state: HoldState
    psn_no: str
    """The patient."""
    occurred_at: datetime
    since: datetime
    """Since when binding has it, in real time."""
    charged: Mapping[UUID, int]
    """By relation, what it holds while HELD and what it has used when CAPTURED; without those that are 0."""


def charges_of(lines: Iterable[Line]) -> dict[UUID, int]:
    """By relation, what lines of a settlement or a held preview charge to its limits."""
    charged: dict[UUID, int] = {}
    for line in lines:
        charged[line.relation_id] = charged.get(line.relation_id, 0) + line.amount_fen
    return charged


def first_id_since(moment: datetime) -> UUID:
    """No settlement that was begun from then on has a lower id: ids begin with the milliseconds of their making."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(bytes=milliseconds.to_bytes(6, "big") + bytes(10))


def given_up_unknown(hold: Hold) -> Settlement:
    """The record of an authorization that nothing here is known of, as after a restore: it never comes to money."""
    return fenced(hold.authorization_id, UNKNOWN_INSTITUTION, str(hold.authorization_id), hold.occurred_at)
