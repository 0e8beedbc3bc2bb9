"""Connecting to PostgreSQL with the password as it is now."""

from typing import TYPE_CHECKING, Any

import asyncpg

from kit.db_password import password_file, passwords, without_file

if TYPE_CHECKING:
    from asyncpg import Connection, Record


async def connect(dsn: str, **options: Any) -> "Connection[Record]":
    """`asyncpg.connect`, also for a URL that names a file with the password; the one way to connect.

    Raises:
        PasswordUnreadable: see there.
        asyncpg.InvalidPasswordError: the server takes neither password.
    """
    file = password_file(dsn)
    if file is None:
        return await asyncpg.connect(dsn, **options)
    *others, last = passwords(file)
    plain = without_file(dsn)
    for password in others:
        try:
            return await asyncpg.connect(plain, **options, password=password)
        except asyncpg.InvalidPasswordError:
            continue
    return await asyncpg.connect(plain, **options, password=last)
