"""Contributions ⇄ the contract: rows of requests, and what a stream has come to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import account_pb2
from settlement.domain.accounts import ContributionKind
from settlement.domain.contributing import Refused, Row, Taken

MAX_REFUSED_ROWS: Final = 1000
"""How many refused rows the answer to a stream describes; it counts all."""

_KINDS: Final[Mapping[account_pb2.ContributionKind.ValueType, ContributionKind]] = {
    account_pb2.CONTRIBUTION_KIND_UNSPECIFIED: ContributionKind.CONTRIBUTION,
    account_pb2.CONTRIBUTION_KIND_CONTRIBUTION: ContributionKind.CONTRIBUTION,
    account_pb2.CONTRIBUTION_KIND_INTEREST: ContributionKind.INTEREST,
}


def row_of_message(message: account_pb2.RecordContributionRequest | account_pb2.ContributionRow) -> Row:
    """A contribution whose form the contract has checked."""
    return Row(message.psn_no, message.contribution_id, message.amount, _KINDS[message.kind])


@dataclass(slots=True)
class Tally:
    """What a stream has come to so far."""

    received_count: int = 0
    credited_count: int = 0
    credited_fen: int = 0
    repeated_count: int = 0
    refused_count: int = 0
    refused: list[Refused] = field(default_factory=list)

    def count(self, rows: int, taken: Taken) -> None:
        """Add what some rows came to."""
        self.received_count += rows
        self.credited_count += len(taken.credited)
        self.credited_fen += taken.credited_fen
        self.repeated_count += taken.repeated_count
        self.refused_count += len(taken.refused)
        self.refused.extend(taken.refused[: MAX_REFUSED_ROWS - len(self.refused)])

    def answer(self) -> account_pb2.ImportContributionsResponse:
        """All of it as the contract tells it."""
        return account_pb2.ImportContributionsResponse(
            received_count=self.received_count,
            credited_count=self.credited_count,
            repeated_count=self.repeated_count,
            refused_count=self.refused_count,
            refused=[_refused(one) for one in self.refused],
            credited_amount=self.credited_fen,
        )


def _refused(one: Refused) -> account_pb2.RefusedContribution:
    return account_pb2.RefusedContribution(
        row_number=one.number, reason=reason_pb2.Reason.Value(f"REASON_{one.reason}"), description=one.description
    )
