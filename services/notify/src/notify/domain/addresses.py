"""Addresses outside of the inbox: the one form of each, and what of it is shown."""

import re
from typing import Final

from notify.domain.channels import Channel

# Mainland mobile numbers. Others cost a multiple, and codes to them are a known way to make money of somebody's bill.
_MOBILE: Final = re.compile(r"(?:\+?86)?(1[3-9][0-9]{9})")
# RFC 5321 without quoted names and literal addresses, which nobody's mailbox has; no line can be broken with it.
_NAME: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL: Final = re.compile(rf"({_NAME}(?:\.{_NAME})*)@({_LABEL}(?:\.{_LABEL})*\.[A-Za-z]{{2,63}})")
_MOST_NAME: Final = 64
_MOST_EMAIL: Final = 254
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.:/+=~-]{16,512}")
# A robot's token, with its secret where it asks for signatures; nothing in it changes a URL that it is put into.
_ROBOT: Final = re.compile(r"[A-Za-z0-9_-]{8,128}(?::[A-Za-z0-9_-]{8,128})?")
_SPACING: Final = str.maketrans("", "", " -")
_SHOWN: Final = 4
_MASKS: Final = "****"


def normalised(channel: Channel, text: str) -> str | None:
    """The one form of an address of this channel; None if it is none.

    A telephone has eleven digits, whichever way it was spelled; the host of an e-mail address is in small letters; what
    devices and messengers' robots have is taken as it is.
    """
    match channel:
        case Channel.SMS:
            return _mobile(text)
        case Channel.EMAIL:
            return _email(text)
        case Channel.PUSH:
            return text if _TOKEN.fullmatch(text) else None
        case Channel.WECOM | Channel.DINGTALK | Channel.FEISHU:
            return text if _ROBOT.fullmatch(text) else None
        case Channel.INBOX:
            return None


def _mobile(text: str) -> str | None:
    found = _MOBILE.fullmatch(text.translate(_SPACING))
    return found[1] if found else None


def _email(text: str) -> str | None:
    found = _EMAIL.fullmatch(text)
    if not found or len(text) > _MOST_EMAIL or len(found[1]) > _MOST_NAME:
        return None
    return f"{found[1]}@{found[2].lower()}"


def masked(channel: Channel, address: str) -> str:
    """As much of an address as its owner needs to know it again: `*******1234`, `z***@example.com`, `****5678`."""
    if channel is Channel.SMS:
        return "*" * (len(address) - _SHOWN) + address[-_SHOWN:]
    if channel is Channel.EMAIL:
        name, _, host = address.partition("@")
        return f"{name[0]}{_MASKS[1:]}@{host}"
    token = address if channel is Channel.PUSH else address.partition(":")[0]
    return _MASKS + token[-_SHOWN:]
