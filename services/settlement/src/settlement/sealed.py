"""What settlement's database holds sealed, for the command that seals it anew."""

from typing import Final

from kit import requests

TABLES: Final = (requests.SEALED,)
