"""Fresh, migrated databases for tests: each service is migrated once, then copied.

The next copy is made and the last one dropped while a test runs: both are the server's work, which needs a core of its
own for longer than many a test does.
"""

import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from gongji_local.blocking import run_blocking
from gongji_local.postgres.databases import ServiceDatabase, ensure_databases, execute, quoted, service_url
from gongji_local.state import repository_root

Migrate = Callable[[str, str], None]


def migrate_in_process(service: str, url: str) -> None:
    """Runs the service's migrations; a service that has none yet gets an empty database."""
    folder = repository_root() / "services" / service / "migrations"
    if any(folder.glob("versions/*.py")):
        from kit.migrate import apply  # noqa: PLC0415 - alembic is loaded only where something is to migrate

        run_blocking(lambda: apply(url, folder))


def migrations_before(migrations: Path, revision: str, folder: Path) -> Path:
    """A copy in `folder` of those of a service's migrations that come before a revision, such as `0024`."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    for step in (migrations / "versions").glob("*.py"):
        if step.name < revision:
            shutil.copy(step, versions)
    return versions.parent


class DatabaseTemplates:
    """Templates by service on one server; names are random, so that sessions on one server do not meet."""

    def __init__(self, admin_url: str, migrate: Migrate = migrate_in_process) -> None:
        self._admin_url = admin_url
        self._migrate = migrate
        self._templates: dict[str, ServiceDatabase] = {}
        self._spares: dict[str, Future[str]] = {}
        self._drops: list[Future[None]] = []
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="test-databases")

    def fresh(self, service: str) -> str:
        """URL of a new database with the service's schema, owned by a role that may enter no other service's."""
        template = self._template(service)
        spare = self._spares.pop(service, None)
        url = spare.result() if spare else self._copy(template)
        self._spares[service] = self._beside.submit(self._copy, template)
        return url

    def drop(self, url: str) -> None:
        """Drops a database that `fresh` made, and whoever is still connected to it; soon, and by `drop_all` at last."""
        self._drops.append(self._beside.submit(self._drop, url))

    def drop_all(self) -> None:
        """Drops what is left, the templates and their roles; raises what a drop raised."""
        for spare in self._spares.values():
            self.drop(spare.result())
        self._spares.clear()
        self._beside.shutdown()
        for drop in self._drops:
            drop.result()
        for template in self._templates.values():
            execute(
                self._admin_url,
                f"DROP DATABASE IF EXISTS {quoted(template.name)} WITH (FORCE)",
                f"DROP ROLE IF EXISTS {quoted(template.name)}",
            )
        self._templates.clear()

    def _copy(self, template: ServiceDatabase) -> str:
        name = f"{template.name}_{secrets.token_hex(6)}"
        owner = quoted(template.name)
        execute(
            self._admin_url,
            # as files: a third of the time that going through the write-ahead log takes
            f"CREATE DATABASE {quoted(name)} OWNER {owner} TEMPLATE {owner} STRATEGY file_copy",
            f"REVOKE ALL ON DATABASE {quoted(name)} FROM PUBLIC",
        )
        return service_url(self._admin_url, template.name, template.password, name)

    def _drop(self, url: str) -> None:
        execute(self._admin_url, f"DROP DATABASE IF EXISTS {quoted(urlsplit(url).path[1:])} WITH (FORCE)")

    def _template(self, service: str) -> ServiceDatabase:
        if service not in self._templates:
            template = ServiceDatabase(f"test_{service}_{secrets.token_hex(4)}", secrets.token_urlsafe(24))
            ensure_databases(self._admin_url, [template])
            self._migrate(service, template.url(self._admin_url))
            self._templates[service] = template
        return self._templates[service]
