"""Who may call which method."""

from typing import Final

from kit.auth import AccessTable, people

INBOX_SERVICE: Final = "gongji.notify.v1.InboxService"

ACCESS: Final[AccessTable] = {
    f"/{INBOX_SERVICE}/ListMessages": people("citizen", "auditor"),
}
