"""Every RPC is in the access table, and nobody else's is."""

import re
from pathlib import Path

import pytest

from binding.access import ACCESS, SERVICES
from kit.auth import Principal, uncovered
from kit.errors import Refusal
from kit.grpc_server import methods_of


def test_every_rpc_is_covered_and_nothing_else() -> None:
    assert uncovered(methods_of(*SERVICES), ACCESS) == set()
    assert set(ACCESS) == methods_of(*SERVICES)


@pytest.mark.parametrize("method", sorted(ACCESS))
def test_no_institution_and_no_other_service_may_call_anything(method: str) -> None:
    for principal in (Principal("institution", "H65270100001"), Principal("service", "notify")):
        with pytest.raises(Refusal):
            ACCESS[method].check(principal, None)


def test_only_settlement_authorizes() -> None:
    method = "/gongji.binding.v1.AuthorizationService/Authorize"
    ACCESS[method].check(Principal("service", "settlement"), None)
    for name in ("portal", "operator", "identity", "binding"):
        with pytest.raises(Refusal):
            ACCESS[method].check(Principal("service", name), None)


@pytest.mark.parametrize("method", sorted(ACCESS))
def test_the_readme_has_a_line_to_try_every_rpc(method: str) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    shells = "".join(re.findall(r"```sh\n(.*?)```", readme, re.DOTALL))
    assert re.search(rf"\b{method.rpartition('/')[2]}\b", shells)
