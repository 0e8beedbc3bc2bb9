"""Contacts and choices put together, without their surroundings."""

from collections.abc import Sequence
from dataclasses import dataclass

from gongji.notify.v1.contact_pb2_grpc import add_ContactServiceServicer_to_server
from kit.clock import Clock
from kit.db import Work
from kit.grpc_server import Service
from notify.access import CONTACT_SERVICE
from notify.channels.registry import Channels
from notify.contacts.codes import ContactCodes
from notify.contacts.preferences import PreferenceService
from notify.contacts.service import ContactService
from notify.contacts.servicer import ContactServicer
from notify.domain.contacts import CodeBounds
from notify.rendering import Texts
from notify.repository import Repository


@dataclass(frozen=True, slots=True)
class ContactParts:
    """What serves calls, and what sends the codes."""

    services: Sequence[Service]
    codes: ContactCodes


def assemble(
    work: Work[Repository],
    channels: Channels,
    clock: Clock,
    bounds: CodeBounds,
    texts: Texts,
) -> ContactParts:
    """The use cases on a unit of work; tests call it with a fake one."""
    servicer = ContactServicer(
        ContactService(work, clock, bounds), PreferenceService(work, texts.languages), channels.usable
    )
    services: list[Service] = [(add_ContactServiceServicer_to_server, servicer, CONTACT_SERVICE)]
    return ContactParts(services, ContactCodes(work, channels, texts, clock))
