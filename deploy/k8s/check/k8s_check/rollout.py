"""`rollout`: dev, prod over it, an upgrade, a broken image that is undone, a drain that the budgets hold back."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from gongji_local.clock import wait_until
from k8s_check import binaries, crds
from k8s_check.applying import prepare
from k8s_check.cluster import Cluster
from k8s_check.errors import CheckError
from k8s_check.kubectl import Answer
from k8s_check.manifests import Built
from k8s_check.nodes import ZONES, node_names, nodes
from k8s_check.watching import Budget, Watch
from kit.clock import Elapsed

NAMESPACE: Final = "gongji"
SETTLES_SECONDS: Final = 150
BROKEN_DEADLINE_SECONDS: Final = 12
HELD_BACK_SECONDS: Final = 6
UPGRADE: Final = "0.2.0"
BUT_WHO_CALLS: Final = "app.kubernetes.io/name!=settlement"
"""As docs/operations/upgrade.md tells it: settlement calls binding, so it comes after."""
BROKEN: Final = "0.3.0-broken"
"""`stages.yaml` never lets a pod with such an image get ready."""


class Rollout:
    """The acts, one after the other, on one cluster.

    Args:
        cluster: a full one.
        k8s: the folder with base, components and overlays.
        tell: takes a line for the person at the terminal.
    """

    def __init__(self, cluster: Cluster, k8s: Path, tell: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._kubectl = cluster.kubectl
        self._k8s = k8s
        self._tell = tell

    def play(self) -> bool:
        """All acts; False after the first that did not go as it must, which is told."""
        self._kubectl.need("create", "-f", "-", given=nodes())
        self._kubectl.need("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s")
        for act in (self._dev, self._prod, self._command, self._upgrade, self._broken, self._drain):
            elapsed = Elapsed()
            try:
                said = act()
            except CheckError as error:
                self._tell(f"  ✗ {error}  ({elapsed.seconds:.0f} s)")
                return False
            self._tell(f"  ✓ {said}  ({elapsed.seconds:.0f} s)")
        return True

    def _dev(self) -> str:
        self._apply(self._k8s / "overlays/dev")
        self._settle()
        return f"dev: {self._counts()}, each migration done"

    def _prod(self) -> str:
        self._apply(self._k8s / "overlays/prod")
        self._grown()
        self._settle()
        for name in self._deployments():
            self._spread_over_zones(name)
        return f"prod over dev: {self._counts()}, each service in {len(ZONES)} zones"

    def _command(self) -> str:
        """What a person runs by hand: taken by the server as it is, ended, and counted by no budget."""
        before = self._budgeted()
        self._by_hand("settlement", "reconcile-holds")
        with _overlay(self._k8s, UPGRADE, literals={"settlement-settings": "GONGJI_BINDING_LAG_SECONDS=30"}) as folder:
            self._by_hand("--overlay", str(folder), "settlement", "config", "--check")
        if self._budgeted() != before:
            raise CheckError(f"a command's pod is counted by a budget: {before} before, {self._budgeted()} after")
        images = {each["spec"]["template"]["spec"]["containers"][0]["image"] for each in self._commands()}
        if {each.endswith(f":{UPGRADE}") for each in images} != {True, False}:
            raise CheckError(f"commands ran {images}, not the image that serves and the one to be applied")
        return "commands by hand, of what serves and of what would be applied: run to their ends, counted by no budget"

    def _by_hand(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, self._k8s / "run_command.py", *arguments],
            env=self._kubectl.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=SETTLES_SECONDS,
        )
        if done.returncode != 0:
            raise CheckError(f"a command by hand was not run to its end:\n{done.stderr[-1_000:]}")

    def _commands(self) -> list[dict[str, Any]]:
        return self._objects("job", "-l", "app.kubernetes.io/component=command")

    def _budgeted(self) -> dict[str, int]:
        return {each["metadata"]["name"]: each["status"]["expectedPods"] for each in self._objects("pdb")}

    def _upgrade(self) -> str:
        with self._watched() as watch, _overlay(self._k8s, UPGRADE) as folder:
            self._apply(folder, only=BUT_WHO_CALLS)
            self._settle()
            behind = {name for name, image in self._images().items() if not image.endswith(f":{UPGRADE}")}
            if behind != {"settlement"}:
                raise CheckError(f"{behind} are of the version before; settlement alone waits for whom it calls")
            self._apply(folder)
            self._settle()
            fewest = watch.fewest()
        self._never_fewer_than_replicas(fewest)
        self._all_have(UPGRADE)
        return f"upgrade to {UPGRADE}, settlement after whom it calls: never fewer ready than {_figures(fewest)}"

    def _broken(self) -> str:
        deadline = [{"op": "replace", "path": "/spec/progressDeadlineSeconds", "value": BROKEN_DEADLINE_SECONDS}]
        with self._watched() as watch, _overlay(self._k8s, BROKEN, json.dumps(deadline)) as folder:
            self._apply(folder)
            for name in self._deployments():
                self._stops(name)
            for name in self._deployments():
                self._kubectl.need("-n", NAMESPACE, "rollout", "undo", f"deployment/{name}")
            self._settle(jobs=False)
            fewest = watch.fewest()
        self._never_fewer_than_replicas(fewest)
        self._all_have(UPGRADE)
        return f"{BROKEN}: each roll-out stopped and was undone, never fewer ready than {_figures(fewest)}"

    def _drain(self) -> str:
        everywhere = [name for zone in ZONES for name in node_names(zone)]
        first, second = node_names(ZONES[0]), node_names(ZONES[1])
        with self._watched() as watch:
            # Nowhere to go: what is evicted now is missing until there is room again.
            self._kubectl.need("cordon", *everywhere)
            self._must_succeed(self._evict(first, SETTLES_SECONDS))
            held = self._evict(second, HELD_BACK_SECONDS)
            if held.ok or "violate the pod's disruption budget" not in held.text:
                raise CheckError(f"a drain was not held back by the budgets:\n{held.text[-1_000:]}")
            self._kubectl.need("uncordon", *everywhere)
            self._settle(jobs=False)
            self._must_succeed(self._evict(second, SETTLES_SECONDS))
            self._kubectl.need("uncordon", *everywhere)
            self._settle(jobs=False)
            fewest = watch.fewest()
        return f"drain of a second zone, held back until the first had room: never fewer than {_figures(fewest)}"

    def _apply(self, folder: Path, *, only: str = "") -> None:
        built = Built.of(self._kubectl, folder).without_groups(crds.UNCHECKED)
        answer = self._kubectl.apply(built.text(), only=only)
        if not answer.ok:
            raise CheckError(f"{folder.name} was refused:\n{answer.text[-2_000:]}")

    def _settle(self, *, jobs: bool = True) -> None:
        for name in self._deployments():
            self._status(name, SETTLES_SECONDS)
        if jobs:
            # Jobs of the broken version stay failed: only those that this apply brought are waited for.
            self._kubectl.need(
                *("-n", NAMESPACE, "wait", "--for=condition=Complete", "job", "--all", f"--timeout={SETTLES_SECONDS}s"),
                timeout_seconds=SETTLES_SECONDS + 10,
            )

    def _status(self, name: str, seconds: int) -> None:
        self._kubectl.need(
            *("-n", NAMESPACE, "rollout", "status", f"deployment/{name}", f"--timeout={seconds}s"),
            timeout_seconds=seconds + 10,
        )

    def _stops(self, name: str) -> None:
        told = self._kubectl.ask(
            *("-n", NAMESPACE, "rollout", "status", f"deployment/{name}", f"--timeout={SETTLES_SECONDS}s"),
            timeout_seconds=SETTLES_SECONDS + 10,
        )
        if told.ok or "exceeded its progress deadline" not in told.text:
            raise CheckError(f"the roll-out of {name} to {BROKEN} did not stop:\n{told.text[-500:]}")

    def _grown(self) -> None:
        if not wait_until(self._all_at_least, SETTLES_SECONDS, 0.5):
            raise CheckError("an autoscaler did not bring its Deployment to its least number")

    def _all_at_least(self) -> bool:
        deployments = {each["metadata"]["name"]: each for each in self._objects("deployment")}
        return all(
            deployments[each["spec"]["scaleTargetRef"]["name"]]["spec"]["replicas"] >= each["spec"]["minReplicas"]
            for each in self._objects("hpa")
        )

    def _spread_over_zones(self, name: str) -> None:
        pods = self._objects("pod", "-l", f"app.kubernetes.io/name={name},app.kubernetes.io/component=service")
        zones = Counter(str(each["spec"]["nodeName"]).partition("-")[0] for each in pods)
        if len(zones) < len(ZONES):
            raise CheckError(f"the pods of {name} are in {dict(zones)}, not in all of {', '.join(ZONES)}")

    def _never_fewer_than_replicas(self, fewest: Mapping[str, int]) -> None:
        for each in self._objects("deployment"):
            name, replicas = each["metadata"]["name"], each["spec"]["replicas"]
            if fewest.get(name, replicas) < replicas:
                raise CheckError(
                    f"{name} had {fewest[name]} ready pods in a roll-out; with maxUnavailable 0 it keeps {replicas}"
                )

    def _all_have(self, tag: str) -> None:
        for name, image in self._images().items():
            if not image.endswith(f":{tag}"):
                raise CheckError(f"{name} runs {image}, not {tag}")

    def _images(self) -> dict[str, str]:
        return {
            each["metadata"]["name"]: str(each["spec"]["template"]["spec"]["containers"][0]["image"])
            for each in self._objects("deployment")
        }

    def _evict(self, names: list[str], seconds: int) -> Answer:
        flags = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={seconds}s")
        return self._kubectl.ask("drain", *names, *flags, timeout_seconds=seconds + 60)

    def _must_succeed(self, answer: Answer) -> None:
        if not answer.ok:
            raise CheckError(f"a drain did not end:\n{answer.text[-1_000:]}")

    def _watched(self) -> Watch:
        budgets = tuple(
            Budget(each["metadata"]["name"], each["spec"]["selector"]["matchLabels"], each["status"]["desiredHealthy"])
            for each in self._objects("pdb")
        )
        if not any(budget.least for budget in budgets):
            raise CheckError("no PodDisruptionBudget asks for anything: there is nothing to watch")
        return Watch(self._cluster, NAMESPACE, budgets)

    def _counts(self) -> str:
        deployments = self._objects("deployment")
        return ", ".join(f"{each['metadata']['name']} {each['status'].get('readyReplicas', 0)}" for each in deployments)

    def _deployments(self) -> list[str]:
        return [str(each["metadata"]["name"]) for each in self._objects("deployment")]

    def _objects(self, kind: str, *flags: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(
            self._kubectl.need("-n", NAMESPACE, "get", kind, *flags, "-o", "json")
        )["items"]
        return listed


def play(k8s: Path, environ: Mapping[str, str], tell: Callable[[str], None]) -> bool:
    """Build what is missing, bring a cluster up, play all acts on it, and end it; whether all went as it must."""
    programs = binaries.ensure(binaries.FOR_ROLLING_OUT, environ)
    definitions = crds.ensure(environ)
    with Cluster(programs, full=True) as cluster:
        prepare(cluster.kubectl, definitions)
        return Rollout(cluster, k8s, tell).play()


@contextmanager
def _overlay(
    k8s: Path, tag: str, deployment_patch: str = "", literals: Mapping[str, str] | None = None
) -> Iterator[Path]:
    """An overlay over prod with another version, made as an installation makes its own."""
    services = sorted(each.parent.name for each in k8s.glob("base/*/deployment.yaml"))
    with tempfile.TemporaryDirectory(prefix="gongji-overlay-") as name:
        folder = Path(name).resolve()
        stated: dict[str, Any] = {
            "resources": [os.path.relpath(k8s / "overlays/prod", folder)],
            "images": [{"name": f"gongji/{service}", "newTag": tag} for service in services],
            "transformers": [os.path.relpath(k8s / "base/version", folder)],
        }
        if deployment_patch:
            stated["patches"] = [{"target": {"kind": "Deployment"}, "patch": deployment_patch}]
        if literals:
            stated["configMapGenerator"] = [
                {"name": name, "behavior": "merge", "literals": [literal]} for name, literal in literals.items()
            ]
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(stated))
        yield folder


def _figures(fewest: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(fewest.items()))
