"""Where webhooks may lead: the form of their addresses, and which hosts of the network they may reach.

An institution chooses the address, and our network is on the other side of the connection. So the address is judged
twice: its text when it is stated, and what its host resolves to at the moment of connecting, because a name can lead
anywhere at any time.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network
IpAddress = IPv4Address | IPv6Address

HTTPS_PORT: Final = 443
HTTP_PORT: Final = 80
# Nothing that two readers could understand differently: no user, no backslash, no other spelling of a host.
_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
    r"(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
_DOTTED: Final = re.compile(r"[0-9.]+|0[xX][0-9A-Fa-f.xX]*")
_HIGHEST_PORT: Final = 65_535
# Addresses of IPv6 that carry one of IPv4, which is what is reached in the end.
_NAT64: Final = IPv6Network("64:ff9b::/96")
# Special by RFC 6890 and its successors, whatever this Python's `is_global` says of them.
_SPECIAL: Final = tuple(
    ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "100::/64", "2001::/23", "3fff::/20", "5f00::/16")
)


class AddressRefused(Exception):
    """Nothing is sent to such an address; `why` in the metadata says what is wrong with it."""

    reason = "ADDRESS_REFUSED"

    def __init__(self, why: str) -> None:
        super().__init__(f"nothing is sent to this address: {why}")
        self.metadata: Mapping[str, str] = {"why": why}


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from the first to the last."""

    first: int
    last: int

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the region lets webhooks lead."""

    ports: Sequence[PortRange] = (PortRange(HTTPS_PORT, HTTPS_PORT),)
    networks: Sequence[Network] = ()
    """Which are reached although they are not public."""
    allows_http: bool = False

    def allows(self, address: IpAddress, port: int) -> bool:
        """Whether a connection may be made."""
        return any(port in ports for ports in self.ports) and self._reaches(address)

    def _reaches(self, address: IpAddress) -> bool:
        return _listed(address, self.networks) or is_public(address)


def check_address(url: str, reach: Reach) -> None:
    """Return if webhooks may lead there, as far as the text tells; names are judged when connecting.

    Raises:
        AddressRefused: they may not.
    """
    match = _ADDRESS.fullmatch(url)
    if match is None:
        raise AddressRefused("it is not https://HOST[:PORT][/PATH][?QUERY]")
    if match["scheme"] == "http" and not reach.allows_http:
        raise AddressRefused("it is not https")
    port = int(match["port"] or (HTTP_PORT if match["scheme"] == "http" else HTTPS_PORT))
    if not any(port in ports for ports in reach.ports):
        raise AddressRefused("its port is not allowed")
    _check_host(match["host"], port, reach)


def _check_host(host: str, port: int, reach: Reach) -> None:
    numeric = host.startswith("[") or _DOTTED.fullmatch(host) is not None
    if not numeric:
        if ".." in host or any(len(label) > 63 for label in host.split(".")):  # noqa: PLR2004 - RFC 1035
            raise AddressRefused("its host is no name")
        return
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        raise AddressRefused("its host is neither a name nor an address in its usual form") from None
    if not reach.allows(address, port):
        raise AddressRefused("its host is not public")


def is_public(address: IpAddress) -> bool:
    """Whether an address is one of the public internet, and no other hides in it."""
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    special = address.is_multicast or address.is_reserved or address.is_unspecified or _listed(address, _SPECIAL)
    site_local = isinstance(address, IPv6Address) and (address.is_site_local or address.scope_id is not None)
    return address.is_global and not special and not site_local


def _inner(address: IpAddress) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _listed(address: IpAddress, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks as settings name them: 10.20.0.0/16,fd00:1::/32.

    Raises:
        ValueError: one is none.
    """
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def parse_ports(text: str) -> tuple[PortRange, ...]:
    """Ports as settings name them: 443,8443 or 8000-8999.

    Raises:
        ValueError: one is none.
    """
    return tuple(_port_range(part.strip()) for part in text.split(","))


def _port_range(text: str) -> PortRange:
    first, dash, last = text.partition("-")
    ports = PortRange(int(first), int(last if dash else first))
    if not 1 <= ports.first <= ports.last <= _HIGHEST_PORT:
        raise ValueError(text)
    return ports
