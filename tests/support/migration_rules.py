"""What a migration may not do while the version before it serves; found in its text.

It reads the SQL in a migration's strings, so it knows no table's size and no code: it is a net, and a reviewer decides.
What works on a table that the same migration makes keeps nobody waiting.
"""

import ast
import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NAME: Final = r"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:ONLY\s+)?([\w{}.]+)"
_MADE: Final = re.compile(rf"\bCREATE\s+(?:UNLOGGED\s+)?TABLE\s+{_NAME}", re.IGNORECASE)
_ALTERED: Final = re.compile(rf"\bALTER\s+TABLE\s+{_NAME}(.*)", re.IGNORECASE | re.DOTALL)
_INDEX: Final = re.compile(
    rf"\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+(CONCURRENTLY\s+)?(?:{_NAME}\s+)?ON\s+{_NAME}", re.IGNORECASE
)
_CHANGED: Final = re.compile(
    rf"^(?:UPDATE|DELETE\s+FROM|INSERT\s+INTO\s+[\w{{}}.]+.*?\bSELECT\b.*?\bFROM)\s+{_NAME}", re.IGNORECASE | re.DOTALL
)
_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_VOLATILE: Final = r"(?:gen_random_uuid|uuidv7|random|clock_timestamp|nextval|pg_current_xact_id)\s*\("

OF_ACTIONS: Final[Mapping[str, str]] = {
    "SET NOT NULL reads the whole table while nobody may touch it: add CHECK (… IS NOT NULL) NOT VALID, validate it, "
    "then set": r"\bSET\s+NOT\s+NULL\b",
    "another type rewrites the table, and the version before does not know it: add a column": (
        r"\bALTER\s+(?:COLUMN\s+)?\w+\s+(?:SET\s+DATA\s+)?TYPE\b"
    ),
    "a constraint without NOT VALID reads the whole table while nobody may touch it: validate it in a later step": (
        r"\bADD\s+(?:CONSTRAINT\s+\w+\s+)?(?:CHECK|FOREIGN\s+KEY|EXCLUDE|UNIQUE(?!\s+USING)|PRIMARY\s+KEY(?!\s+USING))\b"
        r"(?!.*\bNOT\s+VALID\b)"
    ),
    "the version before still reads the column: drop it a release later": r"\bDROP\s+COLUMN\b",
    "the version before knows the old name": r"\bRENAME\b",
    "a column that must be given, without a default: the version before does not give it": (
        r"\bADD\s+COLUMN\b(?!.*\bDEFAULT\b).*\bNOT\s+NULL\b"
    ),
    "a default that differs from row to row rewrites the table: add the column, then set its default": (
        rf"\bADD\s+COLUMN\b.*\bDEFAULT\s+{_VOLATILE}"
    ),
    "a stored column rewrites the table": r"\bADD\s+COLUMN\b.*\bGENERATED\b.*\bSTORED\b",
    "a column with a constraint of its own reads the whole table while nobody may touch it: add the constraint apart, "
    "NOT VALID": r"\bADD\s+COLUMN\b.*\b(?:CHECK|REFERENCES|UNIQUE|PRIMARY\s+KEY)\b",
    "rewrites the table": r"\bSET\s+(?:TABLESPACE|UNLOGGED|LOGGED|ACCESS\s+METHOD)\b",
}
OF_STATEMENTS: Final[Mapping[str, str]] = {
    "the version before still uses it: drop it a release later": rf"^DROP\s+(?:TABLE|VIEW|TYPE|FUNCTION)\s+{_NAME}",
    "keeps everybody waiting: DROP INDEX CONCURRENTLY": rf"^DROP\s+INDEX\s+(?!CONCURRENTLY){_NAME}",
    "keeps everybody waiting": (
        r"^(?:LOCK|TRUNCATE|CLUSTER|VACUUM\s+FULL|REINDEX(?!.*CONCURRENTLY))\s+(?:TABLE\s+|INDEX\s+)?([\w{}.]+)"
    ),
}
INDEX: Final = "keeps all writers waiting: CREATE INDEX CONCURRENTLY in an autocommit_block"
FILL: Final = "fills a table in one transaction: fill it in batches by a command (kit.backfill)"
SAME_STEP: Final = "validates in the step that adds the constraint, and so under its lock: validate in a later step"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that a migration does to a table that was there before."""

    table: str
    what: str


def findings(source: str) -> set[Finding]:
    """What is wrong with a migration, by its source."""
    tree = ast.parse(source)
    statements = [each for text in _texts(tree) for each in _statements(text)]
    made = {name.lower() for each in statements for name in _MADE.findall(each)}
    found = {each for statement in statements for each in (*_of_statement(statement), *_of_actions(statement))}
    # What runs in an autocommit_block is a transaction of its own.
    together = [each for text in _texts(_without_autocommit(tree)) for each in _statements(text)]
    return {each for each in found | set(_validated(together)) if each.table not in made}


def of_file(file: Path) -> set[Finding]:
    """The same of a file."""
    return findings(file.read_text(encoding="utf-8"))


def _of_statement(statement: str) -> Iterator[Finding]:
    if (index := _INDEX.search(statement)) and not index[1]:
        yield Finding(index[3].lower(), INDEX)
    if changed := _CHANGED.search(statement):
        yield Finding(changed[1].lower(), FILL)
    for what, pattern in OF_STATEMENTS.items():
        if match := re.search(pattern, statement, re.IGNORECASE | re.DOTALL):
            yield Finding(match[1].lower(), what)


def _of_actions(statement: str) -> Iterator[Finding]:
    altered = _ALTERED.search(statement)
    for action in _split(altered[2]) if altered else ():
        for what, pattern in OF_ACTIONS.items():
            if altered and re.search(pattern, action, re.IGNORECASE | re.DOTALL):
                yield Finding(altered[1].lower(), what)


def _validated(statements: list[str]) -> Iterator[Finding]:
    added = {name for each in statements for name in re.findall(r"\bADD\s+CONSTRAINT\s+(\w+)", each, re.IGNORECASE)}
    for statement in statements:
        match = re.search(
            rf"ALTER\s+TABLE\s+{_NAME}.*\bVALIDATE\s+CONSTRAINT\s+(\w+)", statement, re.IGNORECASE | re.DOTALL
        )
        if match and match[2] in added:
            yield Finding(match[1].lower(), SAME_STEP)


def _split(actions: str) -> Iterator[str]:
    """The actions of one ALTER TABLE: commas outside of brackets part them."""
    depth, begin = 0, 0
    for place, letter in enumerate(actions):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            yield actions[begin:place]
            begin = place + 1
    yield actions[begin:]


def _statements(text: str) -> list[str]:
    # Bodies of functions have semicolons of their own; what is in them runs later.
    bare = re.sub(r"(\$\w*\$).*?\1", "''", _COMMENT.sub(" ", text), flags=re.DOTALL)
    return [stripped for each in bare.split(";") if (stripped := each.strip())]


class _WithoutAutocommit(ast.NodeTransformer):
    def visit_With(self, node: ast.With) -> ast.AST:
        return ast.Pass() if "autocommit_block" in ast.unparse(node.items[0]) else self.generic_visit(node)


def _without_autocommit(tree: ast.Module) -> ast.Module:
    return ast.Module(body=[_WithoutAutocommit().visit(each) for each in copy.deepcopy(tree.body)], type_ignores=[])


def _texts(tree: ast.Module) -> Iterator[str]:
    """Every string of a module but its docstrings; what is filled in later stands as {}."""
    passed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node, clean=False):
            first = node.body[0]
            passed.add(id(first.value) if isinstance(first, ast.Expr) else 0)
        if isinstance(node, ast.JoinedStr):
            passed |= {id(each) for each in node.values}
            yield "".join(_part(each) for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed:
            yield node.value


def _part(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "{}"
