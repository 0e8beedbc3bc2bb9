"""The variables that notify needs to load its settings, with throw-away files."""

from pathlib import Path

from gongji_local.keys import Keys
from kit.testing_tls import Pki


def environment(folder: Path, where: str = "test", domain: str = "gongji-local", **more: Path | str) -> dict[str, str]:
    """What is usual in this environment, and `more` by name without the prefix."""
    file = folder / "file"
    file.write_text("x", encoding="utf-8")
    Pki(folder)
    keys = Keys(folder)
    names = ("TLS_CERT", "TLS_KEY", "INSTITUTION_CA", "SERVICE_CA", "KAFKA_CA", "KAFKA_CERT", "KAFKA_KEY")
    usual: dict[str, Path | str] = {
        "ENVIRONMENT": where,
        "TRUST_DOMAIN": domain,
        "GRPC_ADDRESS": "127.0.0.1:0",
        "HTTP_ADDRESS": "127.0.0.1:0",
        "DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c?sslmode=verify-full",
        "KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "JWKS_FILE": keys.jwks(),
        "KEYRING_FILE": keys.keyring("notify"),
        "CODE_KEYRING_FILE": keys.code_keyring(),
        **{f"{name}_FILE": file for name in names},
        **more,
    }
    return {f"GONGJI_{name}": str(value) for name, value in usual.items()}
