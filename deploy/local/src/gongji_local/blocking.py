"""Waiting for asynchronous clients from plain code."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

R = TypeVar("R")


def run_blocking(work: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Runs `work` to its end on an event loop of its own thread, so that it also works beneath a running loop."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="gongji-local") as executor:
        return executor.submit(lambda: asyncio.run(work())).result()
