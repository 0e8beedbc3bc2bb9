"""Which addresses webhooks may lead to, by their text and by what their host resolves to."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.domain.webhook_address import (
    AddressRefused,
    PortRange,
    Reach,
    check_address,
    is_public,
    parse_networks,
    parse_ports,
)

PUBLIC = Reach()
INSIDE = Reach((PortRange(443, 443), PortRange(8000, 8999)), parse_networks("10.20.0.0/16, fd00:1::/32"))

PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("192.88.99.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00::1", "ff02::1", "2001:db8::1", "100::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
    *("2001::1", "2001:0:7f00:1::", "3fff::1", "5f00::1", "::127.0.0.1"),
]


def is_taken(url: str, reach: Reach) -> bool:
    try:
        check_address(url, reach)
    except AddressRefused:
        return False
    return True


@pytest.mark.parametrize("text", PRIVATE)
def test_an_address_that_is_not_public_is_not_reached(text: str) -> None:
    assert not is_public(ip_address(text))
    assert not PUBLIC.allows(ip_address(text), 443)


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "1.1.1.1", "114.114.114.114", "2400:3200::1", "2606:4700::1111", "::ffff:8.8.8.8"]
)
def test_a_public_address_is_reached(text: str) -> None:
    assert PUBLIC.allows(ip_address(text), 443)


@given(st.integers(min_value=0, max_value=2**32 - 1).map(IPv4Address))
def test_no_address_of_ipv6_leads_to_one_of_ipv4_that_is_refused(inner: IPv4Address) -> None:
    for outer in (f"::ffff:{inner}", f"64:ff9b::{inner}"):
        assert is_public(IPv6Address(outer)) <= is_public(inner)


def test_networks_that_the_region_names_are_reached_and_their_neighbours_are_not() -> None:
    assert INSIDE.allows(ip_address("10.20.255.1"), 8443)
    assert INSIDE.allows(ip_address("fd00:1::5"), 443)
    assert not INSIDE.allows(ip_address("10.21.0.1"), 443)
    assert not INSIDE.allows(ip_address("fd00:2::5"), 443)
    # A name of IPv6 for an address of a network of IPv4 is not what the region named.
    assert not INSIDE.allows(ip_address("::ffff:10.20.0.1"), 443)


def test_ports_are_those_that_the_region_names() -> None:
    assert not PUBLIC.allows(ip_address("8.8.8.8"), 80)
    assert not INSIDE.allows(ip_address("10.20.0.1"), 22)


@pytest.mark.parametrize(
    "url",
    [
        "https://his.example.com",
        "https://his.example.com/",
        "https://his.example.com:443/hooks/gongji?token=a%20b&c=d",
        "https://8.8.8.8/x",
        "https://[2400:3200::1]/x",
        "https://xn--fiqs8s.example/",
    ],
)
def test_an_address_in_its_usual_form_is_taken(url: str) -> None:
    assert is_taken(url, PUBLIC)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "http://his.example.com/",
        "ftp://his.example.com/",
        "file:///etc/passwd",
        "https:his.example.com",
        "https:///his.example.com",
        "https://user@his.example.com/",
        "https://user:password@his.example.com/",
        "https://his.example.com:443@10.0.0.1/",
        "https://his.example.com\\@10.0.0.1/",
        "https://his.example.com#@10.0.0.1/",
        "https://his.example.com/#fragment",
        "https://his.example.com/ x",
        "https://his.example.com/\r\nHost: other",
        "https://his.example.com:0/",
        "https://his.example.com:22/",
        "https://his.example.com:99999/",
        "https://his.example.com:/",
        "https://.example.com/",
        "https://his..example.com/",
        "https://example.com./",
        f"https://{'a' * 64}.example.com/",
        "https://医院.example/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://2130706433/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://1.2.3/",
        "https://1.2.3.4.5/",
        "https://256.1.1.1/",
    ],
)
def test_an_address_that_could_be_understood_otherwise_or_leads_inside_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        check_address(url, PUBLIC)
    assert refused.value.metadata["why"]
    assert len(url) < 10 or url not in str(refused.value)


@given(st.text(max_size=60))
def test_whatever_is_sent_is_either_taken_or_refused(text: str) -> None:
    for url in (text, f"https://{text}"):
        assert not is_taken(url, PUBLIC) or url.startswith("https://")


def test_plain_http_is_taken_only_where_the_region_allows_it() -> None:
    reach = Reach((PortRange(1, 65_535),), parse_networks("127.0.0.0/8"), allows_http=True)
    assert is_taken("http://127.0.0.1:8080/x", reach)
    assert is_taken("http://localhost/x", reach)
    assert not is_taken("http://10.0.0.1:8080/x", reach)


@pytest.mark.parametrize("text", ["", "443,", "0", "70000", "20-10", "x", "-5", "1-2-3"])
def test_ports_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any text of it
        parse_ports(text)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "x", "10.0.0.0/33"])
def test_networks_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any text of it
        parse_networks(text)
