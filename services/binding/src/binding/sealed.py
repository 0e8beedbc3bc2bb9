"""What binding's database holds sealed, for the command that seals it anew."""

from typing import Final

from binding.service.proofs import proof_context
from kit import requests
from kit.reencrypt import SealedTable

_PROOFS: Final = 4
"""At once: one may have ten megabytes."""

TABLES: Final = (
    SealedTable(
        "proof",
        ("proof_id",),
        {"content_ct": lambda row: proof_context(row["application_id"], row["sha256"])},
        beside=("application_id", "sha256"),
        batch=_PROOFS,
    ),
    requests.SEALED,
)
