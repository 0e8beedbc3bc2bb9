"""`overlays`: each overlay applied for real to a fresh server, each wrong manifest refused for its reason."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from k8s_check import binaries, crds
from k8s_check.cluster import Cluster
from k8s_check.kubectl import Answer, Kubectl
from k8s_check.manifests import Built, group_of
from k8s_check.staging import staged
from k8s_check.verdicts import Verdict, accepted, expected_refusals, refused, scattered
from kit.clock import Elapsed

K8S: Final = binaries.HERE.parent


def verdicts(
    overlays: Sequence[Path], bad: Sequence[Path], control: Path, environ: Mapping[str, str]
) -> Iterator[Verdict]:
    """One verdict for each folder, as they come.

    Args:
        overlays: what must be taken; each meets a server that has seen nothing else.
        bad: what must not be taken, each one mistake away from `control`.
        control: right, so that what a wrong manifest is refused for is its mistake.
        environ: where programs and the cache are found.
    """
    programs = binaries.ensure(binaries.FOR_APPLYING, environ)
    definitions = crds.ensure(environ)
    with staged(K8S) as copy:
        for folder in overlays:
            yield _overlay(_in(copy, folder), programs, definitions)
        if bad:
            yield from _bad([_in(copy, each) for each in bad], _in(copy, control), programs, definitions)


def prepare(kubectl: Kubectl, definitions: Path) -> None:
    """The CustomResourceDefinitions, in force."""
    kubectl.need("apply", "--server-side", "-f", str(definitions))
    kubectl.need("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


def _in(copy: Path, folder: Path) -> Path:
    whole = folder.resolve()
    return copy / whole.relative_to(K8S) if whole.is_relative_to(K8S) else whole


def _overlay(folder: Path, programs: Path, definitions: Path) -> Verdict:
    elapsed = Elapsed()
    with Cluster(programs) as cluster:
        prepare(cluster.kubectl, definitions)
        built = Built.of(cluster.kubectl, folder)
        checked = built.without_groups(crds.UNCHECKED)
        answer = cluster.kubectl.apply(checked.text())
    if len(built.namespaces()) != 1:
        return scattered(_name(folder), built.namespaces(), elapsed.seconds)
    return accepted(_name(folder), answer, elapsed.seconds, _note(built))


def _note(built: Built) -> str:
    groups = sorted(group for group in map(group_of, built.objects()) if group in crds.UNCHECKED)
    return f", {len(groups)} only built ({', '.join(sorted(set(groups)))})" if groups else ""


def _bad(folders: Sequence[Path], control: Path, programs: Path, definitions: Path) -> Iterator[Verdict]:
    with Cluster(programs) as cluster:
        kubectl = cluster.kubectl
        prepare(kubectl, definitions)
        elapsed = Elapsed()
        yield accepted(_name(control), _tried(kubectl, control), elapsed.seconds, " in a dry run")
        for folder in folders:
            elapsed = Elapsed()
            yield refused(_name(folder), expected_refusals(folder), _tried(kubectl, folder), elapsed.seconds)


def _tried(kubectl: Kubectl, folder: Path) -> Answer:
    # A dry run keeps nothing, so no case sees another one; only the namespace must be there for it.
    built = Built.of(kubectl, folder)
    kubectl.need("apply", "--server-side", "-f", "-", given=built.of_kind("Namespace").text())
    return kubectl.apply(built.text(), dry=True)


def _name(folder: Path) -> str:
    return "/".join(folder.parts[-2:])
