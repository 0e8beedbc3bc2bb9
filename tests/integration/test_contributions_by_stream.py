"""A month's contributions by one stream over TLS: each once, whatever breaks and is sent again."""

from support.families import Families, Family
from support.refusals import refusal

from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import account_pb2

Rows = list[account_pb2.ContributionRow]


def row(family: Family, name: str, contribution_id: str, amount: int) -> account_pb2.ContributionRow:
    psn_no = family.psn_no(name)
    return account_pb2.ContributionRow(
        psn_no=psn_no, contribution_id=f"{contribution_id}.{family.psn_no('father')}", amount=amount
    )


async def test_a_stream_credits_each_row_once_and_tells_of_those_that_it_cannot(families: Families) -> None:
    family = await families.make({"father": 100, "mother": 200})
    operator = family.world.operator
    interest = row(family, "mother", "i", 7)
    interest.kind = account_pb2.CONTRIBUTION_KIND_INTEREST
    messages: list[Rows] = [
        [row(family, "father", "a", 50), row(family, "child", "b", 9)],
        [interest, row(family, "father", "a", 50), row(family, "mother", "a", 50)],
        [row(family, "mother", "c", 3)],
    ]
    answer = await operator.import_contributions(*messages)
    assert (answer.received_count, answer.credited_count, answer.repeated_count) == (6, 3, 1)
    assert (answer.refused_count, answer.credited_amount) == (2, 60)
    assert [(each.row_number, each.reason) for each in answer.refused] == [
        (2, reason_pb2.REASON_ACCOUNT_CLOSED),
        (5, reason_pb2.REASON_REQUEST_ID_REUSED),
    ]
    assert [await family.balance(name) for name in ("father", "mother")] == [150, 210]

    again = await operator.import_contributions(*messages)
    assert (again.credited_count, again.repeated_count, again.refused_count) == (0, 4, 2)
    assert [await family.balance(name) for name in ("father", "mother")] == [150, 210]


async def test_a_malformed_row_ends_the_stream_and_the_messages_before_it_stay_credited(families: Families) -> None:
    family = await families.make({"father": 100})
    operator = family.world.operator
    before, bad, after = row(family, "father", "a", 5), row(family, "father", "b", -5), row(family, "father", "c", 5)
    assert await refusal(lambda: operator.import_contributions([before], [bad], [after])) == "INVALID_FIELDS"
    assert await family.balance("father") == 105
    bad.amount = 6
    answer = await operator.import_contributions([before], [bad], [after])
    assert (answer.repeated_count, answer.credited_count, answer.credited_amount) == (1, 2, 11)
    assert await family.balance("father") == 116
