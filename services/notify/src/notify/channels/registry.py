"""Every channel with its adapter, under its policy: one adapter for all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from kit.clock import SystemClock
from kit.observability import get_logger
from kit.signing import TokenSigner
from notify.catalogues import languages
from notify.channels.files import FileAdapter, NoAdapter
from notify.channels.gateway import GatewayAdapter
from notify.channels.guarded import Guarded
from notify.channels.http import HttpClient
from notify.channels.mail import MailAdapter, MailServer
from notify.channels.policy import Policy
from notify.channels.port import Accepted, Adapter, Outgoing
from notify.channels.robots import DIALECTS, RobotAdapter
from notify.channels.settings import Gateway, Mail, Robots, Stated, policy_of, read_channels
from notify.domain.channels import OUTSIDE, Channel, Templates
from notify.sources import short_forms

# What other systems compare with their own time, and what mail is dated by, is real: they know of no moved clock.
_CLOCK: Final = SystemClock()
_KNOWN_BY_NAME: Final[Mapping[Channel, Templates]] = MappingProxyType({})
_log = get_logger()


class Closable(Protocol):
    """An adapter that keeps connections."""

    async def close(self) -> None:
        """End them."""
        ...


class ChannelSettings(Protocol):
    """The settings that channels are made of."""

    @property
    def environment(self) -> str:
        """Where this runs."""
        ...

    @property
    def channels_file(self) -> Path | None:
        """Which adapter each channel has."""
        ...

    @property
    def gateway_keyring_file(self) -> Path | None:
        """The keys that requests to gateways are signed with, and receipts by."""
        ...

    @property
    def sms_directory(self) -> Path | None:
        """The folder for messages of channels that the file does not name."""
        ...


class Channels:
    """Hands each message to its channel's adapter."""

    def __init__(
        self,
        adapters: Mapping[Channel, Adapter],
        policies: Mapping[Channel, Policy],
        open_ones: Sequence[Closable] = (),
        templates: Mapping[Channel, Templates] = _KNOWN_BY_NAME,
    ) -> None:
        self._policies = policies
        self._open_ones = open_ones
        self.usable = frozenset(adapters)
        """The channels that have an adapter."""
        self.templates = templates
        """Of each gateway that has ids of its own."""
        self._adapters: dict[Channel, Adapter] = {channel: NoAdapter() for channel in OUTSIDE} | {
            channel: Guarded(channel, adapter, policies[channel]) for channel, adapter in adapters.items()
        }

    def policy(self, channel: Channel) -> Policy:
        """The policy of a channel outside of the inbox."""
        return self._policies[channel]

    async def send(self, outgoing: Outgoing) -> Accepted:
        """See `Adapter.send`."""
        return await self._adapters[outgoing.channel].send(outgoing)

    async def close(self) -> None:
        """End all connections."""
        for adapter in self._open_ones:
            await adapter.close()


def channels_from(settings: ChannelSettings) -> Channels:
    """The channels as they are configured.

    Raises:
        ChannelsUnusable: the file cannot be used.
    """
    stated = read_channels(settings.channels_file, settings.environment)
    _tell_of_templates(stated)
    policies = {channel: policy_of(channel, stated.get(channel)) for channel in OUTSIDE}
    signer = TokenSigner(settings.gateway_keyring_file) if settings.gateway_keyring_file else None
    connected = {channel: _adapter(channel, one, policies[channel], signer) for channel, one in stated.items()}
    adapters: dict[Channel, Adapter] = dict(connected)
    if settings.sms_directory is not None:
        adapters = dict.fromkeys(OUTSIDE, FileAdapter(settings.sms_directory)) | adapters
    templates = {
        channel: one.templates for channel, one in stated.items() if isinstance(one, Gateway) and one.templates
    }
    return Channels(adapters, policies, list(connected.values()), templates)


def _tell_of_templates(stated: Mapping[Channel, Stated]) -> None:
    """Warn of texts that a gateway has no template of, in some language, and of templates of no text.

    Neither keeps notify from running: a provider takes days to approve a template, and a new version of notify may
    bring a text or a language.
    """
    known = frozenset(short_forms())
    tags = [language.tag for language in languages()]
    for channel, one in stated.items():
        if isinstance(one, Gateway) and one.templates:
            lacking = {tag: sorted(name for name in known if tag not in one.templates.get(name, {})) for tag in tags}
            missing = {tag: names for tag, names in lacking.items() if names}
            strange = sorted(one.templates.keys() - known)
            if missing or strange:
                _log.warning("templates differ from texts", channel=channel.value, missing=missing, strange=strange)


def _adapter(
    channel: Channel, stated: Stated, policy: Policy, signer: TokenSigner | None
) -> GatewayAdapter | MailAdapter | RobotAdapter:
    match stated:
        case Gateway():
            if signer is None:
                raise ValueError("the settings let no gateway pass without a key ring")
            http = HttpClient(policy.timeout_seconds, policy.concurrency, _CLOCK, stated.ca_file)
            return GatewayAdapter(http, stated.url, signer, stated.templates, _CLOCK)
        case Mail():
            return MailAdapter(_mail_server(stated), policy.timeout_seconds, _CLOCK)
        case Robots():
            http = HttpClient(policy.timeout_seconds, policy.concurrency, _CLOCK, stated.ca_file)
            return RobotAdapter(http, DIALECTS[channel], _CLOCK, stated.url)


def _mail_server(stated: Mail) -> MailServer:
    password = stated.password_file.read_text(encoding="utf-8").strip() if stated.password_file else None
    return MailServer(
        stated.host, stated.port, stated.security, stated.sender, stated.username, password, stated.ca_file
    )
