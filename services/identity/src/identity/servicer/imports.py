"""PersonService: loading the register of insured persons."""

from dataclasses import dataclass, field
from typing import Any, Final

from gongji.identity.v1 import person_pb2
from identity import codec
from identity.domain.register import Intake
from identity.servicer.services import PersonMethods
from kit.errors import FieldViolation, InvalidFields

MAX_REFUSED_ROWS: Final = 1000
"""How many refused rows an import describes; it counts all."""


class ImportMethods(PersonMethods):
    """See the contract."""

    async def ImportInsured(  # noqa: N802 - the contract's name
        self, request_iterator: Any, context: Any
    ) -> person_pb2.ImportInsuredResponse:
        """See the contract. Each message of the stream is a transaction of its own."""
        del context
        tally = _Tally()
        async for request in request_iterator:
            tally.check_batch(request.batch_id)
            rows = [codec.register_row(row) for row in request.rows]
            tally.count(len(rows), await self._services.imports.import_insured(rows))
        return tally.answer()


@dataclass(slots=True)
class _Tally:
    """What an import has come to so far."""

    batch_id: str = ""
    received_count: int = 0
    changed_count: int = 0
    unchanged_count: int = 0
    refused_count: int = 0
    refused: list[person_pb2.RefusedRow] = field(default_factory=list)

    def check_batch(self, batch_id: str) -> None:
        if self.batch_id not in {"", batch_id}:
            raise InvalidFields([FieldViolation("batch_id", "must be the same in every message of a stream")])
        self.batch_id = batch_id

    def count(self, row_count: int, intake: Intake) -> None:
        first = self.received_count + 1
        self.received_count += row_count
        self.changed_count += intake.changed_count
        self.unchanged_count += intake.unchanged_count
        self.refused_count += len(intake.refused)
        told = [
            person_pb2.RefusedRow(row_number=first + position, description=why)
            for position, why in sorted(intake.refused.items())
        ]
        self.refused.extend(told[: MAX_REFUSED_ROWS - len(self.refused)])

    def answer(self) -> person_pb2.ImportInsuredResponse:
        return person_pb2.ImportInsuredResponse(
            received_count=self.received_count,
            changed_count=self.changed_count,
            unchanged_count=self.unchanged_count,
            refused=self.refused,
            refused_count=self.refused_count,
        )
