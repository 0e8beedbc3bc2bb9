"""What notify's database holds sealed, for the command that seals it anew."""

from typing import Final

from kit import requests
from kit.reencrypt import Context, SealedTable
from notify.domain.channels import Channel
from notify.postgres.contacts import address_context, code_context
from notify.postgres.deliveries import payload_context
from notify.postgres.messages import text_context
from notify.webhooks.postgres import body_context, webhook_context


def _text(column: str) -> Context:
    return lambda row: text_context(column, row["message_id"], row["psn_no"])


def _webhook(column: str) -> Context:
    return lambda row: webhook_context(column, row["webhook_id"], row["owner"])


TABLES: Final = (
    SealedTable(
        "message",
        ("event_id", "psn_no"),
        {f"{column}_ct": _text(column) for column in ("title", "body")},
        beside=("message_id",),
    ),
    SealedTable(
        "contact_point",
        ("contact_id",),
        {"address_ct": lambda row: address_context(row["contact_id"], row["psn_no"], Channel(row["channel"]))},
        beside=("psn_no", "channel"),
    ),
    SealedTable(
        "contact_code",
        ("code_id",),
        {"code_ct": lambda row: code_context(row["code_id"], row["psn_no"])},
        beside=("psn_no",),
    ),
    SealedTable(
        "delivery",
        ("delivery_id",),
        {"payload_ct": lambda row: payload_context(row["delivery_id"], row["psn_no"])},
        beside=("psn_no",),
    ),
    SealedTable(
        "webhook",
        ("webhook_id",),
        {f"{column}_ct": _webhook(column) for column in ("url", "secret", "previous_secret")},
        beside=("owner",),
    ),
    SealedTable("webhook_event", ("event_id",), {"body_ct": lambda row: body_context(row["event_id"])}),
    requests.SEALED,
)
