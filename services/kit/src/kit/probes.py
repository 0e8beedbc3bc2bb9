"""Probes and metrics over HTTP, from a thread of their own: a hung event loop must not be able to call itself well."""

import json
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from kit.failures import OperatorError
from kit.health import Health

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_JSON = "application/json"
_OK = "200 OK"
_UNAVAILABLE = "503 Service Unavailable"


class CannotListen(OperatorError):
    """An address could not be bound; names it and the next step."""

    def __init__(self, address: str, what: str, cause: str) -> None:
        super().__init__(
            f"cannot serve {what} on {address}: {cause}. Is another process listening there? "
            "Stop it, or set another address."
        )
        self.address = address


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # A second process on the same port must fail, not share it; on Linux this still rebinds over TIME_WAIT.
    allow_reuse_port = False


class _Handler(WSGIRequestHandler):
    timeout = 5

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Probes come every second; they are not worth a line."""


class HttpProbes:
    """Serves `/livez`, `/readyz` and `/metrics` on `address` (HOST:PORT; port 0 takes a free one)."""

    def __init__(self, address: str, health: Health, registry: CollectorRegistry = REGISTRY) -> None:
        self._address = address
        self._health = health
        self._registry = registry
        self._server: WSGIServer | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before the start."""
        return int(self._server.server_port) if self._server else 0

    async def start(self) -> None:
        """Listen and answer from now on.

        Raises:
            CannotListen: the address is taken or not of this machine.
        """
        host, _, port = self._address.rpartition(":")
        try:
            self._server = make_server(host.strip("[]"), int(port), self._app, _Server, _Handler)
        except OSError as error:
            raise CannotListen(self._address, "probes and metrics", error.strerror or str(error)) from error
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="probes", daemon=True).start()

    async def stop(self) -> None:
        """Answer no more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        pages: dict[str, Callable[[], tuple[str, str, bytes]]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }
        page = pages.get(environ.get("PATH_INFO", ""))
        if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
            page = None
        status, kind, body = page() if page else ("404 Not Found", _JSON, b'{"error": "no such page"}\n')
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        start_response(status, headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    def _livez(self) -> tuple[str, str, bytes]:
        return self._report("live", self._health.live())

    def _readyz(self) -> tuple[str, str, bytes]:
        return self._report("ready", self._health.ready())

    def _report(self, question: str, well: bool) -> tuple[str, str, bytes]:  # noqa: FBT001 - the answer to the question
        checks = {
            name: {
                "ok": check.ok,
                "why": check.why,
                "seconds": round(check.since.seconds, 1),
                "serving": check.serving or check.vital,
            }
            for name, check in sorted(self._health.checks().items())
        }
        told = {question: well, "degraded": self._health.degraded(), "checks": checks}
        body = json.dumps(told, ensure_ascii=False) + "\n"
        return (_OK if well else _UNAVAILABLE), _JSON, body.encode()

    def _metrics(self) -> tuple[str, str, bytes]:
        return _OK, CONTENT_TYPE_LATEST, generate_latest(self._registry)
