"""SMS and push by an HTTP gateway: a template's id and its parameters, a signed request, receipts later.

The gateway's side of it is `services/notify/CHANNELS.md`.
"""

import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

from kit.clock import Clock
from kit.signing import TokenSigner
from notify.channels.http import Answer, HttpClient
from notify.channels.port import Accepted, Outgoing, UndeliveredError
from notify.channels.signed_http import signature_headers
from notify.domain.channels import Templates

REFUSALS: Final = frozenset({400, 413, 422})
"""Statuses that say something about this one message: sending it again is of no use."""
_CODE: Final = re.compile(r"[A-Z0-9_]{1,64}")
_PROVIDER_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


class GatewayAdapter:
    """Hands messages to one gateway."""

    def __init__(self, http: HttpClient, url: str, signer: TokenSigner, templates: Templates, clock: Clock) -> None:
        self._http = http
        self._url = url
        self._path = urlsplit(url).path or "/"  # which is what is asked for then, and what the signature covers
        self._signer = signer
        self._templates = templates
        self._clock = clock

    async def send(self, outgoing: Outgoing) -> Accepted:
        """See `Adapter.send`. The gateway takes a `delivery_id` once, however often it comes."""
        body = json.dumps(self._content(outgoing), ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Idempotency-Key": str(outgoing.delivery_id),
            **signature_headers(self._signer, self._path, body, self._clock.now()),
        }
        return _accepted(await self._http.post(self._url, body, headers))

    async def close(self) -> None:
        """End the connections."""
        await self._http.close()

    def _content(self, outgoing: Outgoing) -> dict[str, object]:
        return {
            "delivery_id": str(outgoing.delivery_id),
            "channel": outgoing.channel.value,
            "to": outgoing.address,
            "template_id": self._template_id(outgoing),
            "language": outgoing.language,
            "params": [{"name": name, "value": value} for name, value in outgoing.params.items()],
        }

    def _template_id(self, outgoing: Outgoing) -> str:
        """The name itself where the gateway has no ids of its own."""
        if not self._templates:
            return outgoing.template
        template_id = self._templates.get(outgoing.template, {}).get(outgoing.language)
        if template_id is None:
            why = f"no template id for {outgoing.template} in {outgoing.language} is configured"
            raise UndeliveredError(why, is_final=True)
        return template_id


def _accepted(answer: Answer) -> Accepted:
    if answer.status in REFUSALS:
        raise UndeliveredError(f"refused with {answer.status} {_code(answer)}".strip(), is_final=True)
    if not answer.is_success:
        raise answer.failure()
    content = _object(answer.body)
    provider_id, receipt = content.get("message_id"), content.get("receipt", True)
    if not isinstance(provider_id, str) or not _PROVIDER_ID.fullmatch(provider_id) or not isinstance(receipt, bool):
        # It may have been taken: sending it again under the same key is safe, believing it is not.
        raise UndeliveredError(f"answered {answer.status} without a message_id", is_final=False)
    return Accepted(provider_id, awaits_receipt=receipt)


def _code(answer: Answer) -> str:
    """The gateway's word for it, if it is one: free text may repeat what was sent."""
    code = _object(answer.body).get("code")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
