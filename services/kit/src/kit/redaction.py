"""Keeps personal data and secrets out of the log, whoever writes the line."""

import itertools
import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any

MASK = "***"

_WORDS = frozenset({"name", "phone", "mobile", "tel", "voucher", "token", "authorization", "assertion", "password"})
_MORE_WORDS = frozenset(
    {"passwd", "secret", "credential", "certno", "idno", "address", "birthday", "plaintext", "cookie", "brdy"}
)
_PAIRS = frozenset({"cert_no", "id_no", "id_number", "identity_number", "card_sn", "private_key", "api_key"})
_SPLIT = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# GB 11643 numbers: 17 digits and a check character. Longer runs of digits, such as in a msgid, are something else.
_IDENTITY_NUMBER = re.compile(r"(?<!\d)(?:\d{17}[Xx]|\d{18}(?!\d))")
_MANY_DIGITS = re.compile(r"\d{17}")
_URL_PASSWORD = re.compile(r"(?<=://)([^:@/\s]*):[^@/\s]*@")
_BEARER = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_IDENTITY_NUMBERS = range(10**17, 10**18)
_DEEPEST = 8


def sensitive(key: str) -> bool:
    """Whether a value under this key is never shown: `payer_name`, `certNo`, `x-gongji-assertion`."""
    words = [word for word in _SPLIT.split(_CAMEL.sub("_", key).lower()) if word]
    pairs = {f"{first}_{second}" for first, second in itertools.pairwise(words)}
    return bool(_WORDS.intersection(words) or _MORE_WORDS.intersection(words) or _PAIRS.intersection(pairs))


def scrub(text: str) -> str:
    """The text with identity numbers, signed tokens and passwords in URLs masked."""
    if _MANY_DIGITS.search(text):  # sought first, for a third of the price: nearly no text has an identity number
        text = _IDENTITY_NUMBER.sub(MASK, text)
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    if "eyJ" in text:
        text = _BEARER.sub(MASK, text)
    return text


def redact(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911 - one return for each shape of value
    """The value as it may be logged: plain JSON types only; objects by what they print, messages by type alone."""
    if isinstance(value, str):
        return scrub(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return MASK if abs(value) in _IDENTITY_NUMBERS else value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth >= _DEEPEST:
        return "<too deep>"
    if isinstance(value, Mapping):
        return _redact_mapping(value, depth + 1)
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, depth + 1) for item in value]
    if hasattr(value, "DESCRIPTOR"):  # a protobuf message: payloads are never logged
        return f"<{value.DESCRIPTOR.full_name}>"
    return scrub(str(value))


@lru_cache(maxsize=4096)  # keys are names in the code: few, and met with every line
def _key(key: str) -> tuple[str, bool]:
    return scrub(key), sensitive(key)


def _redact_mapping(mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    redacted = {}
    for key, value in mapping.items():
        shown, hidden = _key(str(key))
        if hidden and value is not None and value != "":
            redacted[shown] = MASK
        else:
            redacted[shown] = scrub(value) if type(value) is str else redact(value, depth)
    return redacted


def processor(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor; has to be the last before rendering, so that nothing is added behind it."""
    return _redact_mapping(event, 1)
