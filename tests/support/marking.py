"""Marks for all tests of a folder, whether or not they ask for a fixture that would tell."""

from pathlib import Path

import pytest


def mark_stack(items: list[pytest.Item], folder: Path, timeout_seconds: int) -> None:
    """Tests below `folder` start processes or talk to them, and none takes longer than that."""
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(timeout_seconds))
