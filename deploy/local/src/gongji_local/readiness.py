"""What a service says of itself at `/readyz`, in words."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gongji_local.ports import LOOPBACK

TIMEOUT_SECONDS: Final = 3.0
READ_BYTES: Final = 64 * 1024
HTTP_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Probe:
    """A service's own answer."""

    ready: bool
    """Whether it takes calls."""
    why: str
    """Why not."""
    warning: str = ""
    """What is wrong although it takes calls, such as a consumer that cannot reach Kafka."""

    @property
    def well(self) -> bool:
        """Whether it takes calls and nothing is wrong with it."""
        return self.ready and not self.warning


def ask(http_port: int) -> Probe:
    """Asks a process's `/readyz`."""
    connection = http.client.HTTPConnection(LOOPBACK, http_port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return told(answer.status == HTTP_OK, answer.read(READ_BYTES).decode(errors="replace").strip())
    except (OSError, http.client.HTTPException) as error:
        return Probe(ready=False, why=f"it does not answer on {LOOPBACK}:{http_port} ({_cause(error)})")
    finally:
        connection.close()


def told(ready: bool, body: str) -> Probe:  # noqa: FBT001 - the answer
    """The answer's status and body as words; a body that is not ours is shown as it is."""
    try:
        checks: Mapping[str, Mapping[str, Any]] = json.loads(body)["checks"]
        failing = {name: check for name, check in checks.items() if not check["ok"]}
        needed = [_words(name, check) for name, check in failing.items() if check["serving"]]
        others = [_words(name, check) for name, check in failing.items() if not check["serving"]]
    except (ValueError, TypeError, KeyError, AttributeError):
        return Probe(ready, why="" if ready else body[:200])
    return Probe(
        ready, why="" if ready else "; ".join(needed or ["no check has reported yet"]), warning="; ".join(others)
    )


def _words(name: str, check: Mapping[str, Any]) -> str:
    why = check["why"] or "not well"
    return f"{name}: {why} (for {check['seconds']:.0f} s)"


def _cause(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
