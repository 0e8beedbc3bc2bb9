"""Every change of every pod, as the API server tells it, and how few ready ones a budget ever had."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit

from k8s_check.cluster import Cluster
from k8s_check.errors import CheckError

Pod = Mapping[str, Any]
CONNECT_SECONDS: Final = 10
WATCH_SECONDS: Final = 1_800


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget: of these pods so many stay."""

    name: str
    labels: Mapping[str, str]
    least: int


@dataclass(slots=True)
class Tally:
    """Ready pods by name, and for each budget the fewest that there were since it was counted first."""

    budgets: tuple[Budget, ...]
    ready: dict[str, Mapping[str, str]] = field(default_factory=dict)
    fewest: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Count from what is there now on."""
        self.fewest = {budget.name: self._count(budget) for budget in self.budgets}

    def took_place(self, kind: str, pod: Pod) -> None:
        """A pod came, changed or went."""
        name = str(pod["metadata"]["name"])
        if kind != "DELETED" and is_ready(pod):
            self.ready[name] = pod["metadata"].get("labels", {})
        else:
            self.ready.pop(name, None)
        for budget in self.budgets:
            if budget.name in self.fewest:
                self.fewest[budget.name] = min(self.fewest[budget.name], self._count(budget))

    def broken(self) -> list[str]:
        """A sentence for each budget that was ever not kept."""
        return [
            f"{budget.name} had {self.fewest[budget.name]} ready, its budget asks for {budget.least}"
            for budget in self.budgets
            if self.fewest.get(budget.name, budget.least) < budget.least
        ]

    def _count(self, budget: Budget) -> int:
        return sum(1 for labels in self.ready.values() if budget.labels.items() <= labels.items())


def is_ready(pod: Pod) -> bool:
    """Whether traffic goes to it: ready, and not told to go."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


class Watch:
    """Follows a namespace's pods in a thread, between `with` and its end.

    Not a poll: the server sends each change, so nothing happens between two looks.
    """

    def __init__(self, cluster: Cluster, namespace: str, budgets: tuple[Budget, ...]) -> None:
        self._namespace = namespace
        address = urlsplit(cluster.url)
        self._connection = http.client.HTTPSConnection(
            str(address.hostname), address.port, timeout=CONNECT_SECONDS, context=cluster.trust
        )
        self._headers = {"Authorization": f"Bearer {cluster.token}"}
        self._tally = Tally(budgets)
        self._mutex = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)
        self._over = False
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        listed = self._get(f"/api/v1/namespaces/{self._namespace}/pods")
        for pod in listed["items"]:
            self._tally.took_place("ADDED", pod)
        self._tally.begin()
        self._version = listed["metadata"]["resourceVersion"]
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._over = True
        if self._connection.sock is not None:
            # Closing alone would not wake the thread that reads.
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(CONNECT_SECONDS)

    def fewest(self) -> dict[str, int]:
        """The fewest ready pods of each budget since the beginning.

        Raises:
            CheckError: a budget was not kept, or the watch broke off, so that nothing is known.
        """
        with self._mutex:
            if self._failure is not None:
                raise CheckError(f"the watch of pods broke off: {self._failure}")
            if broken := self._tally.broken():
                raise CheckError("; ".join(broken))
            return dict(self._tally.fewest)

    def _get(self, path: str) -> Any:
        self._connection.request("GET", path, headers=self._headers)
        return json.load(self._connection.getresponse())

    def _follow(self) -> None:
        try:
            for event in self._events():
                with self._mutex:
                    self._tally.took_place(event["type"], event["object"])
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            if not self._over:
                self._failure = error

    def _events(self) -> Iterator[Mapping[str, Any]]:
        query = f"watch=1&resourceVersion={self._version}&timeoutSeconds={WATCH_SECONDS}"
        self._connection.request("GET", f"/api/v1/namespaces/{self._namespace}/pods?{query}", headers=self._headers)
        answer = self._connection.getresponse()
        if self._connection.sock is not None:
            self._connection.sock.settimeout(None)
        while line := answer.readline():
            yield json.loads(line)
        if not self._over:
            raise OSError("the server ended it")
