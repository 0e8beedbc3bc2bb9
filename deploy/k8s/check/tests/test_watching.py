from typing import Any

from k8s_check.watching import Budget, Tally

LABELS = {"app": "teller", "pod-template-hash": "1"}
TELLER = Budget("teller", {"app": "teller"}, 2)


def pod(name: str, *, ready: bool = True, going: bool = False, labels: dict[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": name, "labels": LABELS if labels is None else labels}
    if going:
        metadata["deletionTimestamp"] = "2025-06-10T02:00:00Z"
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": str(ready)}]}}


def counted(*pods: str) -> Tally:
    tally = Tally((TELLER,))
    for name in pods:
        tally.took_place("ADDED", pod(name))
    tally.begin()
    return tally


def test_a_replacement_that_is_ready_first_keeps_the_budget() -> None:
    tally = counted("a", "b")
    tally.took_place("ADDED", pod("c", ready=False))
    tally.took_place("MODIFIED", pod("c"))
    tally.took_place("MODIFIED", pod("a", going=True))
    tally.took_place("DELETED", pod("a", going=True))
    assert tally.fewest == {"teller": 2}
    assert tally.broken() == []


def test_one_moment_below_the_budget_is_remembered() -> None:
    tally = counted("a", "b")
    tally.took_place("MODIFIED", pod("a", ready=False))
    tally.took_place("MODIFIED", pod("a"))
    assert tally.fewest == {"teller": 1}
    assert tally.broken() == ["teller had 1 ready, its budget asks for 2"]


def test_a_pod_that_was_told_to_go_counts_no_more() -> None:
    tally = counted("a", "b")
    tally.took_place("MODIFIED", pod("b", going=True))
    assert tally.fewest == {"teller": 1}


def test_a_pod_without_conditions_is_not_ready() -> None:
    tally = counted("a", "b")
    tally.took_place("MODIFIED", {"metadata": {"name": "b", "labels": LABELS}})
    assert tally.fewest == {"teller": 1}


def test_pods_of_others_do_not_count() -> None:
    tally = counted("a")
    tally.took_place("ADDED", pod("x", labels={"app": "cashier"}))
    assert tally.fewest == {"teller": 1}


def test_what_was_before_the_beginning_is_not_held_against_it() -> None:
    tally = Tally((TELLER,))
    tally.took_place("ADDED", pod("a", ready=False))
    tally.took_place("MODIFIED", pod("a"))
    tally.took_place("ADDED", pod("b"))
    tally.begin()
    assert tally.broken() == []
