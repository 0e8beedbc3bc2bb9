"""Lists that come in pages."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

Item = TypeVar("Item")

MOST_PAGES: Final = 1000


class EndlessPagesError(Exception):
    """A list went on for more pages than any list here has: its page tokens go round in circles."""


async def gathered(page: Callable[[str], Awaitable[tuple[list[Item], str]]]) -> list[Item]:
    """All items of a list; `page` takes a page token and gives the items and the next token, empty at the end.

    Raises:
        EndlessPagesError: it does not end.
    """
    items: list[Item] = []
    token = ""
    for _ in range(MOST_PAGES):
        more, token = await page(token)
        items += more
        if not token:
            return items
    raise EndlessPagesError(f"a list has more than {MOST_PAGES} pages")
