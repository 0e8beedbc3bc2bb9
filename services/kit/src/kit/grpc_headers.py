"""Metadata that every call may carry."""

import re

from kit.ids import uuid7

REQUEST_ID = "x-request-id"
ASSERTION = "x-gongji-assertion"
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def request_id_from(header: object) -> str:
    """The caller's request id if it is one that is fit for a log line, else a new one."""
    if isinstance(header, str) and _ACCEPTABLE.fullmatch(header):
        return header
    return uuid7().hex
