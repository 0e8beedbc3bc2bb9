"""A service that does nothing, for tests of what starts and ends services.

`stand_in.py SERVICE migrate|serve`. How it misbehaves is said by the file named after the service in the folder
STAND_IN_FOLDER: `crash`, `unready`, `degraded`, `disk-full`, `deaf` (does not end on SIGTERM), or `migration-fails`.
"""

import http.server
import json
import os
import signal
import sys
from pathlib import Path

DEGRADED = json.dumps(
    {"checks": {"consumer notify": {"ok": False, "why": "Kafka does not answer", "seconds": 30.2, "serving": False}}}
)


class Answers(http.server.BaseHTTPRequestHandler):
    """Ready, unless told otherwise."""

    def do_GET(self) -> None:
        unready = behaviour() == "unready"
        self.send_response(503 if unready else 200)
        self.end_headers()
        answer = DEGRADED if behaviour() == "degraded" else "ready"
        self.wfile.write(b"the consumer loop does not live" if unready else answer.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""


def behaviour() -> str:
    path = Path(os.environ["STAND_IN_FOLDER"]) / sys.argv[1]
    return path.read_text() if path.exists() else ""


def serve() -> None:
    if behaviour() == "crash":
        print("the key ring could not be read")
        sys.exit(3)
    if behaviour() == "disk-full":
        Path("/dev/full").write_text("an event")
    if behaviour() == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    host, _colon, port = os.environ["GONGJI_HTTP_ADDRESS"].partition(":")
    server = http.server.HTTPServer((host, int(port)), Answers)
    print(f"serving {sys.argv[1]} for {os.environ['GONGJI_TRUST_DOMAIN']}", flush=True)
    server.serve_forever()


def migrate() -> None:
    if behaviour() == "migration-fails":
        print('column "balance" does not exist')
        sys.exit(1)
    print("up to date")


if __name__ == "__main__":
    {"serve": serve, "migrate": migrate}[sys.argv[2]]()
