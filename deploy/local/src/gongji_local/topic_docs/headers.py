"""The headers of a record, for every document; `kit.events.headers_of` writes them."""

from dataclasses import dataclass
from typing import Final

from kit.events import CONTENT_TYPE, SPEC_VERSION


@dataclass(frozen=True, slots=True)
class Header:
    """One header of a record."""

    name: str
    description: str
    example: str
    is_always_there: bool = True
    constant: str = ""
    """Its only value, where it has one."""


HEADERS: Final = (
    Header("ce_specversion", "CloudEvents, binary mode.", SPEC_VERSION, constant=SPEC_VERSION),
    Header(
        "ce_id",
        "UUID of the event, the same at every publication: forget what you have had by it.",
        "01976a2e-8f4b-7c3d-9a51-2f6d0c8b7e10",
    ),
    Header("ce_type", "Full name of the message in the value.", "gongji.settlement.events.v1.AccountDebited"),
    Header("ce_source", "The service that publishes.", "/gongji/settlement"),
    Header("ce_subject", "What it is about; the record's key where nothing else is said.", "65270000000000000001"),
    Header("ce_time", "When it became true, RFC 3339 in UTC.", "2025-06-10T02:00:00.123456Z"),
    Header("content-type", "How the value is encoded.", CONTENT_TYPE, constant=CONTENT_TYPE),
    Header(
        "epoch", "Raised after a restore from backup: what came under a lower one may be unknown to the service.", "0"
    ),
    Header(
        "ce_sequence",
        "Counts the events of one key from 1 without a gap; absent where the message has no sequence.",
        "42",
        is_always_there=False,
    ),
    Header(
        "traceparent",
        "The W3C trace of the call that made it; absent where there was none.",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        is_always_there=False,
    ),
)
