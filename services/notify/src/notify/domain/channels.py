"""The ways to reach a person."""

from collections.abc import Mapping
from enum import Enum
from typing import Final


class Channel(Enum):
    """A way to reach a person."""

    INBOX = "INBOX"
    """站内信: the message that notify keeps. The delivery that counts; it needs no address."""
    SMS = "SMS"
    """短信."""
    PUSH = "PUSH"
    """A notice of the family's app."""
    EMAIL = "EMAIL"
    """电子邮件."""
    WECOM = "WECOM"
    """企业微信."""
    DINGTALK = "DINGTALK"
    """钉钉."""
    FEISHU = "FEISHU"
    """飞书."""


Templates = Mapping[str, Mapping[str, str]]
"""A gateway's template ids, by the name of a text and its language."""
OUTSIDE: Final = frozenset(Channel) - {Channel.INBOX}
"""Channels that need an address, may fail and are tried again."""
