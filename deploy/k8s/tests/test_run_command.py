"""A command in the cluster is told what its service is told, and is taken for nothing that serves."""

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.manifest_settings import SERVING, environ_of
from support.manifests import COMPONENT, K8S, NAME, PART_OF, SERVICES, Run, of_kind, overlay, serving

from kit.config import load

PROD = overlay("prod")
PROGRAM = K8S / "run_command.py"
SCRIPT = runpy.run_path(str(PROGRAM))


def deployment(service: str, namespace: str = "gongji") -> Any:
    """As the API server has it: kustomize has said where it is and whose."""
    found = next(each for each in of_kind(PROD, "Deployment") if each["metadata"]["name"] == service)
    copy = yaml.safe_load(yaml.safe_dump(found))
    copy["metadata"]["namespace"] = namespace
    copy["spec"]["template"]["metadata"]["labels"][PART_OF] = "gongji"
    return copy


def job(service: str, *arguments: str, **variables: str) -> Any:
    return SCRIPT["job_of"](deployment(service), arguments, variables, "a1b2c3")


@pytest.mark.parametrize("service", SERVICES)
def test_it_is_told_all_that_its_service_is_told(service: str, tmp_path: Path) -> None:
    made = job(service, "raise-epoch", "--by", "a person")
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    as_serving = serving(PROD, service)
    run = Run("Job", pod, container, as_serving.config_maps)
    assert container["args"] == ["raise-epoch", "--by", "a person"]
    assert load(SERVING[service], environ_of(run, tmp_path)).model_dump()
    assert run.secrets() == as_serving.secrets()


@pytest.mark.parametrize("service", SERVICES)
def test_it_is_taken_for_no_pod_that_serves_and_has_the_ways_of_its_service(service: str) -> None:
    made = job(service, "republish")
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert (labels[NAME], labels[PART_OF], labels[COMPONENT]) == (service, "gongji", "command")
    for each in of_kind(PROD, "Deployment", "Service", "PodDisruptionBudget"):
        selector = each["spec"]["selector"]
        assert not selector.get("matchLabels", selector).items() <= labels.items()
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert not {"livenessProbe", "readinessProbe", "startupProbe", "ports", "lifecycle"} & container.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_it_is_held_to_what_its_service_is_held_to_and_done_once(service: str) -> None:
    made, before = job(service, "audit"), deployment(service)["spec"]["template"]["spec"]
    pod = made["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], made["spec"]["backoffLimit"]) == ("Never", 0)
    assert pod["securityContext"] == before["securityContext"]
    for name in ("securityContext", "resources", "image", "volumeMounts"):
        assert pod["containers"][0][name] == before["containers"][0][name]
    assert "initContainers" not in pod
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,62}", made["metadata"]["name"])


def test_a_variable_that_is_set_takes_the_place_of_the_services_own() -> None:
    made = job("settlement", "reconcile-holds", GONGJI_RECONCILE_AGE_SECONDS="0", GONGJI_PROBE_ADDRESS="127.0.0.1:1")
    told = [each for each in made["spec"]["template"]["spec"]["containers"][0]["env"] if "value" in each]
    assert {"name": "GONGJI_RECONCILE_AGE_SECONDS", "value": "0"} in told
    assert [each["value"] for each in told if each["name"] == "GONGJI_PROBE_ADDRESS"] == ["127.0.0.1:1"]


KUBECTL = """#!{python}
import json, pathlib, sys
here = pathlib.Path({folder!r})
arguments = sys.argv[3:]
with (here / "asked").open("a") as asked:
    print(json.dumps(sys.argv[1:]), file=asked)
if arguments[:2] == ["get", "deployment"]:
    print((here / "deployment").read_text())
elif arguments[0] == "create":
    (here / "created").write_text(sys.stdin.read())
elif arguments[:2] == ["get", "pods"]:
    waiting = {{"reason": "ImagePullBackOff", "message": "no such tag"}}
    status = {{"containerStatuses": [{{"state": {{"waiting": waiting}}}}]}}
    print(json.dumps({{"kind": "List", "items": [{{"status": status}}]}}))
elif arguments[0] == "get":
    looked = here / "looked"
    seen = looked.exists()
    looked.touch()
    ended = [{{"type": {end!r}, "status": "True", "message": "why"}}]
    print(json.dumps({{"status": {{"conditions": ended}} if seen else {{}}}}))
elif arguments[0] == "logs":
    print("what it says")
"""


def asked(folder: Path, end: str, *arguments: str, environ: Mapping[str, str] | None = None) -> Any:
    program = folder / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable, folder=str(folder), end=end))
    program.chmod(0o755)
    (folder / "deployment").write_text(json.dumps(deployment("settlement", "gongji-sandbox")))
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments],
        env=environ or {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(("end", "status"), [("Complete", 0), ("Failed", 1)])
def test_it_waits_for_the_end_and_says_what_the_command_said(tmp_path: Path, end: str, status: int) -> None:
    done = asked(tmp_path, end, "--namespace", "gongji-sandbox", "--set", "GONGJI_A=b=c", "settlement", "audit", "--x")
    assert (done.returncode, done.stdout) == (status, "what it says\n")
    made = json.loads((tmp_path / "created").read_text())
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["audit", "--x"]
    assert {"name": "GONGJI_A", "value": "b=c"} in container["env"]
    lines = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert all(line[:2] == ["--namespace", "gongji-sandbox"] for line in lines)
    assert ("failed: why" in done.stderr) is bool(status)
    assert done.stderr.count("its pod does not start: ImagePullBackOff: no such tag\n") == 1


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({}, ""),
        ({"containerStatuses": [{"state": {"running": {}}}]}, ""),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, ""),
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "a"}}}]},
            "CreateContainerConfigError: a",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}]},
            "Unschedulable: full",
        ),
        ({"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]}, ""),
    ],
)
def test_a_pod_that_does_not_start_is_asked_why(status: dict[str, Any], why: str) -> None:
    assert SCRIPT["why_not_running"]({"status": status}) == why


OVERLAY = """
case "$1 $2" in
    "kustomize overlay") echo built ;;
    "create --dry-run=client") cat {folder}/objects ;;
    "--namespace gongji-sandbox")
        case "$3" in
            get) if [ "$4" = configmaps ]; then cat {folder}/there; else cat {folder}/ended; fi ;;
            apply) cat >> {folder}/applied ;;
            create) cat > {folder}/created ;;
            logs) echo what it says ;;
        esac ;;
    *) exit 9 ;;
esac
"""


def config_map(name: str) -> Any:
    return {"kind": "ConfigMap", "metadata": {"name": name, "namespace": "gongji-sandbox"}}


def as_list(*objects: Any) -> str:
    return json.dumps({"kind": "List", "items": objects})


def one_after_the_other(*objects: Any) -> str:
    return "\n".join(json.dumps(each, indent=1) for each in objects) + "\n"


@pytest.mark.parametrize("printed", [as_list, one_after_the_other])
def test_what_would_be_applied_is_run_with_its_own_settings_and_nothing_else_is_made(
    tmp_path: Path, printed: Callable[..., str]
) -> None:
    new = deployment("notify", "gongji-sandbox")
    others = [config_map("settlement-settings"), deployment("settlement")]
    read = [
        config_map(name) for name in ("gongji-environment", "gongji-settings", "notify-settings", "notify-channels")
    ]
    (tmp_path / "objects").write_text(printed(*read, *others, new))
    (tmp_path / "there").write_text(as_list(read[0]))
    (tmp_path / "ended").write_text(json.dumps({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}))
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\n" + OVERLAY.format(folder=tmp_path))
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--overlay", "overlay", "notify", "config", "--check"],
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "what it says\n"), done.stderr
    made = [each["metadata"]["name"] for each in SCRIPT["objects_in"]((tmp_path / "applied").read_text())]
    assert made == ["gongji-settings", "notify-settings", "notify-channels"]
    created = json.loads((tmp_path / "created").read_text())
    assert created["metadata"]["namespace"] == "gongji-sandbox"
    assert created["spec"]["template"]["spec"]["containers"][0]["args"] == ["config", "--check"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("settlement",), "a command is wanted"),
        (("ledger", "audit"), "ledger"),
        (("--set", "A", "settlement", "x"), "NAME=VALUE"),
    ],
)
def test_what_was_not_asked_for_rightly_is_not_run(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = asked(tmp_path, "Complete", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "created").exists()


def test_without_kubectl_it_says_so(tmp_path: Path) -> None:
    done = asked(tmp_path, "Complete", "settlement", "audit", environ={"PATH": "/nonexistent"})
    assert done.returncode == 2
    assert "not run: kubectl cannot be run" in done.stderr
