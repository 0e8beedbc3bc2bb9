#!/usr/bin/env python3
"""Run a command of a service in the cluster, as a Job with the settings, Secrets and image of its Deployment.

    deploy/k8s/run_command.py settlement reconcile-holds
    deploy/k8s/run_command.py --set GONGJI_RECONCILE_AGE_SECONDS=0 settlement reconcile-holds
    deploy/k8s/run_command.py --namespace gongji-sandbox binding raise-epoch --by NAME --reason "restored to 12:00"
    deploy/k8s/run_command.py --overlay OVERLAY settlement config --check

With an overlay it is the Deployment that would be applied, with its image and its settings, whose ConfigMaps are made
if they are not there; nothing that runs is changed.

Also while the Deployment has no pods. Prints what the command prints, and ends with 0 if it ended so, 1 if it failed,
2 if it could not be run. Needs Python 3.11 and kubectl, nothing else.
"""

import argparse
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

SERVICES: Final = ("identity", "binding", "settlement", "notify")
COMPONENT: Final = "command"
"""By this label the NetworkPolicies let it go where its service goes, and nothing comes to it."""
KEPT_SECONDS: Final = 604_800
HOURS_MAX: Final = 24
EXIT_FAILED: Final = 1
EXIT_NOT_RUN: Final = 2
LOOK_EVERY_SECONDS: Final = 1.0
_OF_SERVING: Final = ("ports", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle")
_OF_SPREADING: Final = ("topologySpreadConstraints", "affinity", "initContainers", "terminationGracePeriodSeconds")


class NotRunError(Exception):
    """The cluster did not take it, or there is nothing to run; says why."""


def job_of(deployment: Mapping[str, Any], arguments: Sequence[str], variables: Mapping[str, str], suffix: str) -> Any:
    """The Job that runs a command as the Deployment's container would.

    Args:
        deployment: as the API server has it.
        arguments: of `python -m <service>`.
        variables: that differ from the Deployment's.
        suffix: what makes its name its own.
    """
    service = deployment["metadata"]["name"]
    template = deployment["spec"]["template"]
    pod = {name: value for name, value in template["spec"].items() if name not in _OF_SPREADING}
    (serving,) = pod["containers"]
    container = {name: value for name, value in serving.items() if name not in _OF_SERVING}
    kept = [each for each in container.get("env", []) if each["name"] not in variables]
    container |= {"args": list(arguments), "env": [*kept, *({"name": n, "value": v} for n, v in variables.items())]}
    labels = {**template["metadata"]["labels"], "app.kubernetes.io/component": COMPONENT}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{service}-{COMPONENT}-{suffix}",
            "namespace": deployment["metadata"]["namespace"],
            "labels": labels,
        },
        "spec": {
            # What a person asks for is done once; asked for again it is another Job.
            "backoffLimit": 0,
            "activeDeadlineSeconds": HOURS_MAX * 3600,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": {**pod, "restartPolicy": "Never", "containers": [container]},
            },
        },
    }


def objects_in(text: str) -> list[Any]:
    """What kubectl printed as JSON: one object, one after the other, or a list of them."""
    decoder, place = json.JSONDecoder(), 0
    found: list[Any] = []
    while text[place:].strip():
        each, length = decoder.raw_decode(text[place:].lstrip())
        place = len(text) - len(text[place:].lstrip()) + length
        found += each["items"] if each["kind"] == "List" else [each]
    return found


def config_maps_of(deployment: Mapping[str, Any], objects: Sequence[Any]) -> list[Any]:
    """The ConfigMaps that its pods read, as the overlay has them."""
    pod = deployment["spec"]["template"]["spec"]
    read = {each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each}
    for container in pod["containers"]:
        read |= {each["configMapRef"]["name"] for each in container.get("envFrom", []) if "configMapRef" in each}
    return [each for each in objects if each["kind"] == "ConfigMap" and each["metadata"]["name"] in read]


class Kubectl:
    """kubectl towards one namespace, or those that objects name."""

    def __init__(self, namespace: str = "") -> None:
        self._command = ("kubectl", *(("--namespace", namespace) if namespace else ()))

    def need(self, *arguments: str, given: str = "") -> str:
        """What it says.

        Raises:
            NotRunError: it failed, or is not there.
        """
        try:
            done = subprocess.run(
                [*self._command, *arguments], input=given, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise NotRunError(f"kubectl cannot be run: {error}") from error
        if done.returncode != 0:
            raise NotRunError(done.stderr.strip())
        return done.stdout

    def show(self, *arguments: str) -> None:
        """Let it print."""
        subprocess.run([*self._command, *arguments], check=False)


def to_be_applied(overlay: str, service: str) -> Any:
    """The Deployment of an overlay, whose ConfigMaps are there from now on.

    Raises:
        NotRunError: it cannot be built, has no such Deployment, or the cluster does not take its ConfigMaps.
    """
    kubectl = Kubectl()
    built = kubectl.need("kustomize", overlay)
    objects = objects_in(kubectl.need("create", "--dry-run=client", "--output", "json", "--filename", "-", given=built))
    found = [each for each in objects if each["kind"] == "Deployment" and each["metadata"]["name"] == service]
    if not found:
        raise NotRunError(f"{overlay} has no Deployment {service}")
    kubectl = Kubectl(found[0]["metadata"]["namespace"])
    there = {each["metadata"]["name"] for each in objects_in(kubectl.need("get", "configmaps", "--output", "json"))}
    for each in config_maps_of(found[0], objects):
        if each["metadata"]["name"] not in there:
            kubectl.need("apply", "--server-side", "--filename", "-", given=json.dumps(each))
    return found[0]


def run(kubectl: Kubectl, deployment: Mapping[str, Any], arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run it to its end; the exit status.

    Raises:
        NotRunError: the cluster does not take it.
    """
    job = job_of(deployment, arguments, variables, secrets.token_hex(3))
    name = f"job/{job['metadata']['name']}"
    kubectl.need("create", "--validate=strict", "--filename", "-", given=json.dumps(job))
    print(f"{name}; ended with: kubectl delete {name}", file=sys.stderr)
    ended = _end_of(kubectl, name)
    kubectl.show("logs", name, "--tail=-1")
    if "Failed" in ended:
        print(f"{name} failed: {ended['Failed'].get('message', '')}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _end_of(kubectl: Kubectl, name: str) -> dict[str, Any]:
    told = ""
    while True:
        status = json.loads(kubectl.need("get", name, "--output", "json")).get("status", {})
        ended = {each["type"]: each for each in status.get("conditions", []) if each["status"] == "True"}
        if "Complete" in ended or "Failed" in ended:
            return ended
        selector = f"--selector=batch.kubernetes.io/job-name={name.removeprefix('job/')}"
        for pod in objects_in(kubectl.need("get", "pods", selector, "--output", "json")):
            if (why := why_not_running(pod)) and why != told:
                print(f"its pod does not start: {why}", file=sys.stderr)
                told = why
        time.sleep(LOOK_EVERY_SECONDS)


def why_not_running(pod: Mapping[str, Any]) -> str:
    """What keeps a pod from starting, such as an image or a Secret that is not there; empty if nothing does."""
    status = pod.get("status", {})
    waiting = [each.get("state", {}).get("waiting", {}) for each in status.get("containerStatuses", [])]
    unplaced = [
        each for each in status.get("conditions", []) if each["type"] == "PodScheduled" and each["status"] == "False"
    ]
    for each in (*waiting, *unplaced):
        if each.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            return f"{each['reason']}: {each.get('message', '')}"
    return ""


def main(given: Sequence[str] | None = None) -> int:
    """The command line; its exit status."""
    parser = argparse.ArgumentParser(description="Run a command of a service in the cluster, as a Job.")
    parser.add_argument("--namespace", default="gongji", help="that of the overlay, if one is named")
    parser.add_argument("--overlay", help="a folder: the Deployment as it would be applied")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="variables")
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="COMMAND …")
    asked = parser.parse_args(given)
    if not asked.arguments or not all("=" in each for each in asked.variables):
        parser.error("a command is wanted, and NAME=VALUE with --set")
    try:
        variables = dict(each.split("=", 1) for each in asked.variables)
        if asked.overlay:
            deployment = to_be_applied(asked.overlay, asked.service)
        else:
            serving = ("get", "deployment", asked.service, "--output", "json")
            deployment = json.loads(Kubectl(asked.namespace).need(*serving))
        return run(Kubectl(deployment["metadata"]["namespace"]), deployment, asked.arguments, variables)
    except NotRunError as error:
        print(f"not run: {error}", file=sys.stderr)
        return EXIT_NOT_RUN


if __name__ == "__main__":
    sys.exit(main())
