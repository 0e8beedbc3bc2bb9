from pathlib import Path

import pytest

from k8s_check.errors import CheckError
from k8s_check.kubectl import Answer
from k8s_check.verdicts import accepted, expected_refusals, refused, scattered

TAKEN = "namespace/gongji serverside-applied\ndeployment.apps/settlement serverside-applied\n"
NOT_TAKEN = """namespace/gongji serverside-applied (server dry run)
Error from server: .spec.replica: field not declared in schema
"""


def test_what_the_server_takes_is_right_and_counted() -> None:
    verdict = accepted("overlays/dev", Answer(ok=True, text=TAKEN), 5.0)
    assert verdict.right
    assert verdict.said == "2 objects applied"


def test_what_the_server_refuses_is_wrong_and_only_the_complaint_is_shown() -> None:
    verdict = accepted("overlays/dev", Answer(ok=False, text=NOT_TAKEN), 5.0)
    assert not verdict.right
    assert "field not declared" in verdict.said
    assert "serverside-applied" not in verdict.said
    assert verdict.line().startswith("  ✗ overlays/dev")


def test_a_mistake_that_is_refused_for_its_reason_is_right() -> None:
    assert refused("bad/a", ["field not declared in schema"], Answer(ok=False, text=NOT_TAKEN), 1.0).right


def test_a_mistake_that_is_taken_is_wrong() -> None:
    verdict = refused("bad/a", ["field not declared in schema"], Answer(ok=True, text=TAKEN), 1.0)
    assert not verdict.right
    assert "ACCEPTED" in verdict.said


def test_a_mistake_that_is_refused_for_another_reason_is_wrong_and_both_reasons_are_shown() -> None:
    verdict = refused("bad/a", ["field not declared in schema", "hostPath"], Answer(ok=False, text=NOT_TAKEN), 1.0)
    assert not verdict.right
    assert "hostPath" in verdict.said
    assert ".spec.replica: field not declared" in verdict.said


def test_each_stated_refusal_is_asserted(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "# Why.\n# refused: one\n# refused: `two` of it\nkind: Kustomization\n"
    )
    assert expected_refusals(tmp_path) == ["one", "`two` of it"]


def test_a_wrong_manifest_that_states_no_refusal_asserts_nothing_and_is_no_check(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("kind: Kustomization\n")
    with pytest.raises(CheckError, match="says no `# refused"):
        expected_refusals(tmp_path)


def test_every_wrong_manifest_of_this_tree_says_why_it_is_wrong_and_what_it_is_refused_with() -> None:
    folders = sorted((Path(__file__).parents[2] / "bad").iterdir())
    assert len(folders) > 20
    for folder in folders:
        assert expected_refusals(folder)
        assert (folder / "kustomization.yaml").read_text().startswith("# "), folder


def test_objects_in_two_namespaces_are_wrong_and_both_are_named() -> None:
    verdict = scattered("installations/a", {"gongji", ""}, 1.0)
    assert not verdict.right
    assert verdict.said == "is not in one namespace: none stated, gongji"
