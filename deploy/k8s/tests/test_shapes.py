"""What every workload has, whichever service it is."""

from typing import Any

import pytest
from support.manifests import (
    COMPONENT,
    NAME,
    OVERLAYS,
    SERVICES,
    Object,
    Run,
    of_kind,
    overlay,
    runs,
    serving,
    template_of,
)

from kit.grpc_probes import LIVENESS, READINESS, STARTUP

PROD = overlay("prod")
WORKLOADS = of_kind(PROD, "Deployment", "Job", "CronJob")
PORTS_OF = {
    "grpc": "GONGJI_GRPC_ADDRESS",
    "metrics": "GONGJI_HTTP_ADDRESS",
    "probes": "GONGJI_PROBE_ADDRESS",
    "receipts": "GONGJI_CALLBACK_ADDRESS",
}


def named(each: Any) -> str:
    return each.owner if isinstance(each, Run) else f"{each['kind']} {each['metadata']['name']}"


def literal(run: Run) -> dict[str, str]:
    return {each["name"]: each["value"] for each in run.container["env"] if "value" in each}


@pytest.mark.parametrize("workload", WORKLOADS, ids=named)
def test_a_pod_has_no_token_and_no_rights(workload: Object) -> None:
    pod = template_of(workload)["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == workload["metadata"]["labels"][NAME]
    security = pod["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (10001, 10001, 10001)
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("run", runs(PROD), ids=named)
def test_a_container_writes_to_tmp_alone_and_knows_its_memory(run: Run) -> None:
    assert run.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = [each["mountPath"] for each in run.container["volumeMounts"] if not each.get("readOnly")]
    assert writable == ["/tmp"]  # noqa: S108 - a folder of its own, bounded
    assert "emptyDir" in next(each for each in run.pod["volumes"] if each["name"] == "tmp")
    assert set(run.container["resources"]["requests"]) == {"cpu", "memory"}
    assert set(run.container["resources"]["limits"]) == {"memory"}


@pytest.mark.parametrize("run", runs(PROD), ids=named)
def test_a_container_that_ended_shows_its_last_lines_as_the_reason(run: Run) -> None:
    assert run.container["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize("service", SERVICES)
def test_the_kubelet_asks_what_the_process_answers(service: str) -> None:
    container = serving(PROD, service).container
    probes = {kind: container[f"{kind}Probe"]["grpc"] for kind in ("startup", "readiness", "liveness")}
    port = int(literal(serving(PROD, service))["GONGJI_PROBE_ADDRESS"].rpartition(":")[2])
    assert probes == {
        "startup": {"port": port, "service": STARTUP},
        "readiness": {"port": port, "service": READINESS},
        "liveness": {"port": port, "service": LIVENESS},
    }


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_those_that_the_process_listens_on(service: str) -> None:
    run = serving(PROD, service)
    addresses = {name: literal(run)[variable] for name, variable in PORTS_OF.items() if variable in literal(run)}
    assert {each["name"]: f"0.0.0.0:{each['containerPort']}" for each in run.container["ports"]} == addresses
    target = next(each for each in of_kind(PROD, "Service") if each["metadata"]["name"] == service)
    assert target["spec"]["clusterIP"] == "None"
    assert {each["targetPort"] for each in target["spec"]["ports"]} == set(addresses) - {"probes"}
    assert all(each["port"] == int(addresses[each["name"]].rpartition(":")[2]) for each in target["spec"]["ports"])


@pytest.mark.parametrize("service", SERVICES)
def test_only_pods_that_serve_are_counted_and_called(service: str) -> None:
    serves = {NAME: service, COMPONENT: "service"}
    by_name = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in PROD if "spec" in each}
    assert by_name["Deployment", service]["selector"]["matchLabels"] == serves
    assert by_name["Deployment", service]["template"]["metadata"]["labels"] == serves
    assert by_name["Service", service]["selector"] == serves
    assert by_name["PodDisruptionBudget", service]["selector"]["matchLabels"] == serves
    for job in of_kind(PROD, "Job", "CronJob"):
        labels = template_of(job)["metadata"]["labels"]
        assert labels[COMPONENT] == job["metadata"]["labels"][COMPONENT] != "service"


@pytest.mark.parametrize("service", SERVICES)
def test_the_autoscaler_alone_says_how_many(service: str) -> None:
    by_kind = {each["kind"]: each["spec"] for each in PROD if each["metadata"]["name"] == service and "spec" in each}
    assert "replicas" not in by_kind["Deployment"]
    assert by_kind["HorizontalPodAutoscaler"]["scaleTargetRef"]["name"] == service
    assert by_kind["Deployment"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert by_kind["PodDisruptionBudget"]["maxUnavailable"] == 1


@pytest.mark.parametrize("service", SERVICES)
def test_pods_of_a_service_keep_apart(service: str) -> None:
    pod = serving(PROD, service).pod
    (spread,) = pod["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["maxSkew"]) == ("topology.kubernetes.io/zone", 1)
    assert spread["labelSelector"]["matchLabels"] == {NAME: service, COMPONENT: "service"}
    (term,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert term["podAffinityTerm"]["labelSelector"]["matchLabels"] == {NAME: service, COMPONENT: "service"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_new_pod_waits_for_its_migration(service: str) -> None:
    (first,) = serving(PROD, service).pod["initContainers"]
    assert first["args"][:3] == ["migrate", "--check", "--wait"]
    # Ended by itself, with its reason, before the roll-out is given up.
    deployment = next(each for each in of_kind(PROD, "Deployment") if each["metadata"]["name"] == service)
    assert 300 <= int(first["args"][3]) < deployment["spec"]["progressDeadlineSeconds"]


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_that_an_overlay_changes_reaches_a_migration_job(service: str) -> None:
    # The pods of a Job cannot be changed: an apply of the same version must find it as it was.
    found = [run for name in OVERLAYS for run in runs(overlay(name)) if run.owner.startswith(f"Job {service}-migrate")]
    assert len(found) == len(OVERLAYS)
    for run in found:
        assert run.pod == found[0].pod
        assert "envFrom" not in run.container
        names = {each["valueFrom"].get("configMapKeyRef", {}).get("name") for each in run.container["env"]}
        assert names == {None, "gongji-environment"}  # which has no hash in its name


@pytest.mark.parametrize("job", of_kind(PROD, "CronJob"), ids=named)
def test_a_scheduled_job_runs_alone_at_a_local_time_and_ends(job: Object) -> None:
    spec = job["spec"]
    assert (spec["timeZone"], spec["concurrencyPolicy"]) == ("Asia/Shanghai", "Forbid")
    inner = spec["jobTemplate"]["spec"]
    assert inner["template"]["spec"]["restartPolicy"] == "Never"
    assert inner["activeDeadlineSeconds"] <= 4 * 3600
    assert inner["ttlSecondsAfterFinished"] >= 24 * 3600
