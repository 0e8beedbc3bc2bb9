"""Who may call which method."""

from typing import Final

from kit.auth import AccessTable, people

CONTACT_SERVICE: Final = "gongji.notify.v1.ContactService"
INBOX_SERVICE: Final = "gongji.notify.v1.InboxService"

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
}
