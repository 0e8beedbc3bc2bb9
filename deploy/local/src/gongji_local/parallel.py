"""Doing several things at once and failing like one."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")


def in_parallel(work: Callable[[A], R], items: Sequence[A]) -> list[R]:
    """Results in the order of the items; all are finished before the first failure is raised."""
    if not items:
        return []
    with ThreadPoolExecutor(max_workers=len(items), thread_name_prefix="gongji-local") as executor:
        futures = [executor.submit(work, item) for item in items]
    return [future.result() for future in futures]


def together(*tasks: Callable[[], object]) -> None:
    """Runs tasks side by side; all are finished before the first failure is raised."""
    in_parallel(lambda task: task(), tasks)
