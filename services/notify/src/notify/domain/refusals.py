"""Why notify refuses. Messages and metadata never carry an address or a code."""

from collections.abc import Mapping


class NotifyRefusal(Exception):
    """A refusal with a reason of the platform's vocabulary (`gongji.common.v1.Reason` without `REASON_`)."""

    reason = "INTERNAL"
    message = ""

    def __init__(self, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(self.message)
        self.metadata: Mapping[str, str] = dict(metadata or {})
