"""The metrics of a service's connections to its database."""

from typing import Final

from kit.metrics import EVERY, Label

SIZE: Final = EVERY.gauge(
    "gongji_database_connections_limit", "Connections that the process holds at most.", unit="connections"
)
CONNECTIONS: Final = EVERY.gauge(
    "gongji_database_connections",
    "Connections that there are.",
    unit="connections",
    labels=(Label("state", "whether a transaction is in it", ("in_use", "idle")),),
)
WAITING: Final = EVERY.gauge(
    "gongji_database_waiting", "Transactions that wait for a connection, all of them being in use.", unit="transactions"
)
WAIT: Final = EVERY.histogram(
    "gongji_database_wait_seconds",
    "How long transactions waited for a connection, of those that did not get one at once.",
    unit="s",
)
REFUSED: Final = EVERY.counter(
    "gongji_database_refused_total",
    "Transactions refused with OVERLOADED, because no connection became free in time.",
    unit="transactions",
)
