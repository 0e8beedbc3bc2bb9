"""What identity's database holds sealed, for the command that seals it anew."""

from collections.abc import Mapping
from typing import Any, Final

from identity.vault import context_of
from kit import requests
from kit.reencrypt import Context, SealedTable


def _of(column: str) -> Context:
    return lambda row: context_of(column, row["psn_no"])


def _number(row: Mapping[str, Any]) -> bytes:
    return context_of(f"number {row['psn_cert_type']}", row["psn_no"])


TABLES: Final = (
    SealedTable("insured", ("psn_no",), {f"{column}_ct": _of(column) for column in ("name", "tel", "card_sn")}),
    SealedTable("insured_certificate", ("psn_no", "psn_cert_type"), {"number_ct": _number}),
    requests.SEALED,
)
