"""What families, hospitals and clerks do all at once comes to what the plain model says in the order of commits."""

from model.histories import run

from gongji_local.stack import Stack

SEED = 5
WISHES = 240
"""A short history; `make histories` plays longer ones."""


async def test_everything_answered_and_left_is_what_the_model_has_in_the_order_of_commits(stack: Stack) -> None:
    outcome = await run(stack, SEED, WISHES)
    assert outcome.wrong == []
    assert len(outcome.given_up) < outcome.requests / 10, "what is given up is nobody's proof"
    assert outcome.requests > WISHES / 2
