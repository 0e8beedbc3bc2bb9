"""Rows to domain and back: one repository for one transaction."""

from binding.repository.interface import (
    Corrected,
    Period,
    Place,
    QueueCount,
    QueueFilter,
    QueuePlace,
    Repository,
    Verified,
)
from binding.repository.postgres import GuardBroken, PostgresRepository

__all__ = [
    "Corrected",
    "GuardBroken",
    "Period",
    "Place",
    "PostgresRepository",
    "QueueCount",
    "QueueFilter",
    "QueuePlace",
    "Repository",
    "Verified",
]
