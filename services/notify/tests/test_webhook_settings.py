"""What an operator can set of webhooks, and what is refused with its name."""

from ipaddress import ip_address
from typing import Any

import pytest

from kit.config import ConfigurationError, load
from notify.webhooks.settings import WebhookSettings

DATABASE = "postgresql://a:b@127.0.0.1:5432/c"


def settings(environment: str = "local", **variables: str) -> WebhookSettings:
    url = f"{DATABASE}?sslmode=verify-full" if environment == "production" else DATABASE
    given = {"GONGJI_ENVIRONMENT": environment, "GONGJI_DATABASE_URL": url}
    return load(WebhookSettings, {**given, **{f"GONGJI_{name}": value for name, value in variables.items()}}, "notify")


def refused(**variables: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        settings(**variables)
    return [problem.variable for problem in caught.value.problems]


def test_if_nothing_is_said_only_public_addresses_are_reached_by_https() -> None:
    reach = settings().webhook_reach
    assert reach.allows(ip_address("8.8.8.8"), 443)
    assert not reach.allows(ip_address("8.8.8.8"), 80)
    assert not reach.allows(ip_address("127.0.0.1"), 443)
    assert not reach.allows_http


def test_networks_and_ports_that_are_named_are_reached() -> None:
    reach = settings(WEBHOOK_NETWORKS="10.20.0.0/16", WEBHOOK_PORTS="443,8000-8999").webhook_reach
    assert reach.allows(ip_address("10.20.1.1"), 8443)
    assert not reach.allows(ip_address("10.21.1.1"), 8443)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBHOOK_NETWORKS", "10.0.0.1/8"),
        ("WEBHOOK_NETWORKS", "everywhere"),
        ("WEBHOOK_PORTS", "443-80"),
        ("WEBHOOK_PORTS", "https"),
        ("WEBHOOK_TIMEOUT_SECONDS", "0"),
        ("WEBHOOK_CONCURRENCY", "0"),
        ("WEBHOOK_KEEP_DAYS", "1"),
        ("WEBHOOK_CA_FILE", "/nowhere/ca.crt"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_name(name: str, value: str) -> None:
    assert refused(**{name: value}) == [f"GONGJI_{name}"]


def test_plain_http_is_refused_in_production() -> None:
    assert settings(WEBHOOK_HTTP="true").webhook_reach.allows_http
    assert refused(environment="production", WEBHOOK_HTTP="true") == ["GONGJI_WEBHOOK_HTTP"]


def test_the_checks_of_other_settings_hold_here_too() -> None:
    with pytest.raises(ConfigurationError, match="sslmode"):
        load(WebhookSettings, {"GONGJI_ENVIRONMENT": "production", "GONGJI_DATABASE_URL": DATABASE}, "notify")
