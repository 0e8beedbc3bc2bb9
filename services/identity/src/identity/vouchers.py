"""E-vouchers' tokens (医保电子凭证)."""

import secrets

TOKEN_BYTES = 32


def new_token() -> str:
    """A token that nobody can guess: 256 random bits as 43 URL-safe characters."""
    return secrets.token_urlsafe(TOKEN_BYTES)
