"""What CHANNELS.md tells those who connect a gateway is what the program does."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kit.signing import SignatureInvalid, TokenSigner
from notify.channels.callback import PATH, receipts_in
from notify.channels.policy import DEFAULTS, Policy
from notify.channels.settings import read_channels
from notify.channels.signed_http import KEY, NONCE, SIGNATURE, TIMESTAMP, require_signature

TEXT = (Path(__file__).resolve().parents[1] / "CHANNELS.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)


def test_the_file_of_the_example_can_be_used(tmp_path: Path) -> None:
    stated = json.loads(BLOCKS[0])
    for name in ("ca_file", "password_file"):
        for channel in stated.values():
            if name in channel:
                channel[name] = str(tmp_path / name)
                (tmp_path / name).write_text("x", encoding="utf-8")
    path = tmp_path / "channels.json"
    path.write_text(json.dumps(stated), encoding="utf-8")
    assert {channel.value for channel in read_channels(path, "production")} == set(stated)


def test_the_signature_of_the_example_is_right(tmp_path: Path) -> None:
    key, timestamp, nonce, signature = re.findall(r"`([A-Za-z0-9_=-]{10,})`", TEXT[TEXT.index("To check yours") :])[:4]
    ring = tmp_path / "ring.json"
    keys = {"g1": {"algorithm": "HMAC-SHA256", "key": key}}
    ring.write_text(json.dumps({"active": "g1", "keys": keys}), encoding="utf-8")
    headers = {KEY: "g1", TIMESTAMP: timestamp, NONCE: nonce, SIGNATURE: signature}
    body, at = BLOCKS[2].strip().encode(), datetime.fromtimestamp(int(timestamp), UTC)
    require_signature(TokenSigner(ring), PATH, headers, body, at)
    with pytest.raises(SignatureInvalid):
        require_signature(TokenSigner(ring), PATH, headers, body + b" ", at)
    assert len(receipts_in(body)) == 1


def test_every_part_of_a_policy_and_its_default_is_told() -> None:
    table = TEXT[TEXT.index("## Policies") : TEXT.index("## Metrics")]
    for name in Policy.model_fields:
        row = next(line for line in table.splitlines() if f"`{name}`" in line)
        for policy in DEFAULTS.values():
            assert re.search(rf"\b{getattr(policy, name):g}\b", row), name
