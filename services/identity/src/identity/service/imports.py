"""Loading the register of insured persons."""

from collections.abc import Sequence

from identity import events
from identity.domain.register import Intake, RegisterRow, RowRefused, take_in
from identity.repository import Repository
from identity.service.people import moment
from kit.clock import Clock
from kit.db import Work


class ImportService:
    """Takes in rows of the register."""

    def __init__(self, work: Work[Repository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def import_insured(self, rows: Sequence[RegisterRow | RowRefused]) -> Intake:
        """Take in rows of the register, all that can be taken in one transaction."""
        now, today = moment(self._clock)
        readable = [row for row in rows if isinstance(row, RegisterRow)]
        async with self._work() as repository:
            await repository.lock_import()
            known = await repository.lock_persons(sorted({row.psn_no for row in readable}))
            owners = await repository.owners([row.certificate for row in readable])
            intake = take_in(rows, known, owners, today)
            if intake.persons:
                await repository.save_persons(list(intake.persons.values()))
                await repository.outbox.add([events.enrolment_changed(person, now) for person in intake.enrolled])
        return intake
