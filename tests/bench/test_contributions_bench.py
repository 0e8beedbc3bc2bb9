"""What the bench of contributions sends and refuses, without a server."""

from itertools import islice

import pytest
from bench.contributions_by_rpc import ROWS_A_MESSAGE, messages
from bench.import_contributions import Run, contributions, too_much_memory

from kit.validation import check


def test_messages_of_a_stream_fit_the_contract_and_leave_no_row_out() -> None:
    rows = list(islice(contributions(), 2 * ROWS_A_MESSAGE + 1))
    sent = list(messages(rows))
    assert [len(message.rows) for message in sent] == [ROWS_A_MESSAGE, ROWS_A_MESSAGE, 1]
    for message in sent:
        check(message)
    assert [(row.contribution_id, row.psn_no, row.amount) for message in sent for row in message.rows] == rows
    assert len({contribution_id for contribution_id, _, _ in rows}) == len(rows)


@pytest.mark.parametrize(("mib", "is_too_much"), [(300, False), (301, True)])
def test_an_import_may_take_so_much_memory_and_no_more(mib: int, *, is_too_much: bool) -> None:
    runs = [Run(name, 10, 1.0, 10, 1.0, most) for name, most in (("first", 150), ("RPC", mib), ("again", 90))]
    assert too_much_memory(runs) is is_too_much
