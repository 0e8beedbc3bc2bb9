"""Histories as the contract carries them."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import NamedTuple

from binding.codec import bad_token
from binding.domain.history import ChangeKind, Entry, Facts, ProofView
from gongji.binding.v1 import application_pb2, history_pb2
from kit.timestamps import timestamp

_MAX_POSITION = 2**31 - 1


class Page(NamedTuple):
    """A page of a history, ready to be answered."""

    entries: Sequence[history_pb2.HistoryEntry]
    next_page_token: str
    """Empty on the last page."""


def page_of(found: Sequence[Entry], size: int) -> Page:
    """The page of what was found, which is one more than its size if there is another page."""
    entries = found[:size]
    token = _token(entries[-1].position) if len(found) > size else ""
    return Page([_message(entry) for entry in entries], token)


def position_of(token: str) -> int:
    """Behind which position a page begins. Raises InvalidFields for a token that is none of ours."""
    if not token:
        return 0
    try:
        position = int(base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii"))
    except (binascii.Error, ValueError):
        raise bad_token() from None
    if not 0 < position <= _MAX_POSITION:
        raise bad_token()
    return position


def _token(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode()


def _message(entry: Entry) -> history_pb2.HistoryEntry:
    mark = entry.mark
    return history_pb2.HistoryEntry(
        position=entry.position,
        at=timestamp(mark.at),
        what=kind_value(mark.what),
        who=mark.who.subject,
        role=mark.who.role,
        changes=_changes(entry.before, entry.after),
        why=mark.why,
    )


def view_message(view: ProofView) -> application_pb2.ProofView:
    """A look at a proof, as the contract carries it."""
    return application_pb2.ProofView(
        proof_id=str(view.proof_id), at=timestamp(view.at), who=view.who.subject, role=view.who.role
    )


def kind_value(kind: ChangeKind) -> history_pb2.ChangeKind.ValueType:
    """What was done, as the contract carries it: the names are the same."""
    return history_pb2.ChangeKind.Value(f"CHANGE_KIND_{kind}")


def _changes(before: Facts, after: Facts) -> list[history_pb2.FieldChange]:
    return [
        history_pb2.FieldChange(name=name, before=_json(before, name), after=_json(after, name))
        for name in sorted({*before, *after})
    ]


def _json(facts: Facts, name: str) -> str:
    return json.dumps(facts[name], ensure_ascii=False) if name in facts else ""
