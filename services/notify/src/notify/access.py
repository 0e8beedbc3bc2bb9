"""Who may call which method."""

from typing import Final

from kit.auth import AccessTable, institutions, people, services

CONTACT_SERVICE: Final = "gongji.notify.v1.ContactService"
INBOX_SERVICE: Final = "gongji.notify.v1.InboxService"
DELIVERY_SERVICE: Final = "gongji.notify.v1.DeliveryService"
WEBHOOK_SERVICE: Final = "gongji.notify.v1.WebhookService"

OWN_CAPS_SECONDS: Final = {f"/{INBOX_SERVICE}/WatchMessages": 300.0}
"""Watching goes on for long, so that a page need not ask again every few seconds."""

_KEEPERS = institutions() | services("operator") | people("operator")

_own = people("citizen")
_own_or_audited = people("citizen", "auditor")

ACCESS: Final[AccessTable] = {
    f"/{INBOX_SERVICE}/ListMessages": _own_or_audited,
    f"/{CONTACT_SERVICE}/AddContact": _own,
    f"/{CONTACT_SERVICE}/VerifyContact": _own,
    f"/{CONTACT_SERVICE}/ListContacts": _own_or_audited,
    f"/{CONTACT_SERVICE}/RemoveContact": _own,
    f"/{CONTACT_SERVICE}/GetPreferences": _own_or_audited,
    f"/{CONTACT_SERVICE}/SetPreference": _own,
    f"/{CONTACT_SERVICE}/SetSettings": _own,
    f"/{INBOX_SERVICE}/MarkRead": _own,
    f"/{INBOX_SERVICE}/UnreadCount": _own,
    f"/{INBOX_SERVICE}/WatchMessages": _own,
    f"/{DELIVERY_SERVICE}/ListDeliveries": people("operator") | services("operator"),
    **{
        f"/{WEBHOOK_SERVICE}/{name}": _KEEPERS
        for name in ("CreateWebhook", "UpdateWebhook", "DeleteWebhook", "RotateSecret", "TestWebhook", "ReplayEvents")
    },
    f"/{WEBHOOK_SERVICE}/ListWebhooks": _KEEPERS | people("auditor"),
    f"/{WEBHOOK_SERVICE}/ListAttempts": _KEEPERS | people("auditor"),
}
