"""Pages of lists: sizes, and tokens that nobody needs to understand."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from kit.errors import FieldViolation, InvalidFields

Place = TypeVar("Place")
Item = TypeVar("Item")

DEFAULT_PAGE_SIZE: Final = 50
_MAX_POSITION: Final = 2**31 - 1


def page_size(asked: int) -> int:
    """How many items a page has at most."""
    return asked or DEFAULT_PAGE_SIZE


def page(found: Sequence[Item], size: int, place: Callable[[Item], object]) -> tuple[Sequence[Item], str]:
    """The items of a page and the token of the next one, of up to `size + 1` that were found."""
    items = found[:size]
    return items, _token(place(items[-1])) if len(found) > size else ""


def place_in(token: str, read: Callable[[str], Place]) -> Place | None:
    """Where the page of a token begins, None for the empty one; `read` raises ValueError for what is no place.

    Raises:
        InvalidFields: the token is not one that was given out.
    """
    if not token:
        return None
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("ascii")
        return read(text)
    except (binascii.Error, ValueError):
        raise InvalidFields([FieldViolation("page_token", "must be a next_page_token of an earlier answer")]) from None


def position(text: str) -> int:
    """A position that counts from 1.

    Raises:
        ValueError: it is none.
    """
    number = int(text)
    if not 0 < number <= _MAX_POSITION:
        raise ValueError("no position")
    return number


def _token(place: object) -> str:
    return base64.urlsafe_b64encode(str(place).encode()).decode().rstrip("=")
