"""Fresh, migrated databases for tests: each service is migrated once, then copied."""

import secrets
from collections.abc import Callable
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


class DatabaseTemplates:
    """Templates by service on one server; names are random, so that sessions on one server do not meet."""

    def __init__(self, admin_url: str, migrate: Migrate = migrate_in_process) -> None:
        self._admin_url = admin_url
        self._migrate = migrate
        self._templates: dict[str, ServiceDatabase] = {}

    def fresh(self, service: str) -> str:
        """URL of a new database with the service's schema, owned by a role that may enter no other service's."""
        template = self._template(service)
        name = f"{template.name}_{secrets.token_hex(6)}"
        owner = quoted(template.name)
        execute(
            self._admin_url,
            # as files: a third of the time that going through the write-ahead log takes
            f"CREATE DATABASE {quoted(name)} OWNER {owner} TEMPLATE {owner} STRATEGY file_copy",
            f"REVOKE ALL ON DATABASE {quoted(name)} FROM PUBLIC",
        )
        return service_url(self._admin_url, template.name, template.password, name)

    def drop(self, url: str) -> None:
        """Drops a database that `fresh` made, and whoever is still connected to it."""
        execute(self._admin_url, f"DROP DATABASE IF EXISTS {quoted(urlsplit(url).path[1:])} WITH (FORCE)")

    def drop_all(self) -> None:
        """Drops the templates and their roles."""
        for template in self._templates.values():
            execute(
                self._admin_url,
                f"DROP DATABASE IF EXISTS {quoted(template.name)} WITH (FORCE)",
                f"DROP ROLE IF EXISTS {quoted(template.name)}",
            )
        self._templates.clear()

    def _template(self, service: str) -> ServiceDatabase:
        if service not in self._templates:
            template = ServiceDatabase(f"test_{service}_{secrets.token_hex(4)}", secrets.token_urlsafe(24))
            ensure_databases(self._admin_url, [template])
            self._migrate(service, template.url(self._admin_url))
            self._templates[service] = template
        return self._templates[service]
