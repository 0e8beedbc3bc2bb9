"""What a file of cases says, read strictly: a word that is not understood is an error, never passed over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import yaml

PERSONS: Final = ("father", "mother", "aunt", "child", "baby", "grandma")
LIMIT_WINDOWS: Final = ("settlement", "day", "month", "year", "total")
BILL_AMOUNTS: Final = (
    "medfee_sumamt",
    "fund_pay_sumamt",
    "psn_part_amt",
    "hosp_part_amt",
    "fulamt_ownpay_amt",
    "overlmt_selfpay",
    "preselfpay_amt",
    "inscp_scp_amt",
    "act_pay_dedc",
)
_BILL_WORDS: Final = frozenset(
    {"patient", "bill_of", "at", "med_type", "items", "acct_used_flag", "use_mutual_aid", *BILL_AMOUNTS}
)
_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "settle": _BILL_WORDS | {"msgid", "quote", "expected_acct_pay", "expected_acct_mulaid_pay"},
    "preview": _BILL_WORDS | {"name", "hold"},
    "reverse": frozenset({"of", "again"}),
    "resettle": (_BILL_WORDS - {"patient"}) | {"of", "msgid", "expected_acct_pay", "expected_acct_mulaid_pay"},
    "unbind": frozenset({"payer", "beneficiary"}),
    "suspend": frozenset({"payer", "beneficiary"}),
    "limits": frozenset({"payer", "beneficiary", "limits"}),
    "freeze": frozenset({"person"}),
    "unfreeze": frozenset({"person"}),
    "enrolment": frozenset({"person", "psn_insu_stas", "arrears"}),
    "death": frozenset({"person"}),
    "premium": frozenset({"insured", "year", "payer", "msgid"}),
    "refund_premium": frozenset({"of", "by"}),
    "filing": frozenset({"person", "admdvs", "from", "to"}),
    "clock": frozenset({"to"}),
}
_PREMIUM_WORDS: Final = frozenset({"year", "amount", "collect_from", "collect_to"})
_CASE_WORDS: Final = frozenset({"id", "title", "rules", "accounts", "relations", "institutions", "premium", "steps"})
_RELATION_WORDS: Final = frozenset({"payer", "beneficiary", "priority", "limits", "valid_from", "valid_to"})
_INSTITUTION_WORDS: Final = frozenset({"name", "fixmedins_type", "admdvs", "designated", "remote_settlement"})
_EXPECTED_WORDS: Final = frozenset(
    {
        "acct_pay",
        "acct_mulaid_pay",
        "psn_cash_pay",
        "lines",
        "declines",
        "own_balance_after",
        "same_answer",
        "refunds",
        "state",
        "paid",
        "balance_after",
    }
)

Words = Mapping[str, Any]


class ScriptError(Exception):
    """The file is no file of cases; says where and what."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step and what it must give."""

    kind: str
    words: Words
    expect: Words | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation of the world before the first step."""

    payer: str
    beneficiary: str
    limits_fen: Mapping[str, int]
    priority: int = 0
    valid_from: str = ""
    valid_to: str = "2026-12-31"


@dataclass(frozen=True, slots=True)
class Institution:
    """An institution beside `hospital` and `pharmacy`."""

    name: str
    fixmedins_type: int
    admdvs: str
    designated: bool
    remote_settlement: bool


@dataclass(frozen=True, slots=True)
class Premium:
    """What the premium of a year is."""

    year: int
    amount_fen: int
    collect_from: str
    collect_to: str


@dataclass(frozen=True, slots=True)
class Case:
    """One case, understood."""

    id: str
    title: str
    accounts_fen: Mapping[str, int]
    relations: Sequence[Relation]
    institutions: Sequence[Institution]
    steps: Sequence[Step]
    persons: frozenset[str] = field(default_factory=frozenset)
    premium: Premium | None = None


def read(path: Path) -> list[Case]:
    """The cases of a file, in order.

    Raises:
        ScriptError: the file cannot be read, is no list of cases, or has a word that is not understood.
    """
    try:
        # Everything stays text: amounts must not pass through floats, nor times through the loader's own zone.
        documents = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - BaseLoader makes texts only
    except OSError as error:
        raise ScriptError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ScriptError(f"{path} is no YAML: {error}") from error
    if not isinstance(documents, list) or not documents:
        raise ScriptError(f"{path} is no list of cases")
    return [_case_of(document, path) for document in documents]


def _case_of(document: Any, path: Path) -> Case:
    if not isinstance(document, dict) or "id" not in document:
        raise ScriptError(f"{path}: a case without an id")
    try:
        return _case(document)
    except ScriptError as error:
        raise ScriptError(f"{path}: case {document['id']}: {error}") from error


def _case(document: Words) -> Case:
    _only(document, _CASE_WORDS, "the case")
    steps = [_step(words) for words in _list(document, "steps")]
    case = Case(
        id=document["id"],
        title=document.get("title", ""),
        accounts_fen={_person(name): fen(amount) for name, amount in document.get("accounts", {}).items()},
        relations=[_relation(words) for words in _list(document, "relations")],
        institutions=[_institution(words) for words in _list(document, "institutions")],
        steps=steps,
        persons=frozenset(_persons_in(document)),
        premium=_premium(document["premium"]) if "premium" in document else None,
    )
    if not steps:
        raise ScriptError("has no steps")
    return case


def _step(words: Words) -> Step:
    kinds = [word for word in words if word not in ("expect", "refused")]
    if len(kinds) != 1:
        raise ScriptError(f"a step is one of {', '.join(_WORDS)}; this has {kinds}")
    kind = kinds[0]
    if kind not in _WORDS:
        raise ScriptError(f"the step {kind!r} is not known")
    said: Words = {"to": words[kind]} if kind == "clock" else words[kind]
    _only(said, _WORDS[kind], f"the step {kind}")
    expect = words.get("expect")
    _only(expect or {}, _EXPECTED_WORDS, f"what {kind} expects")
    return Step(kind, said, expect, words.get("refused"))


def _relation(words: Words) -> Relation:
    _only(words, _RELATION_WORDS, "a relation")
    return Relation(
        payer=_person(words["payer"]),
        beneficiary=_person(words["beneficiary"]),
        limits_fen=limits_fen(words["limits"]),
        priority=int(words.get("priority", "0")),
        valid_from=day(words["valid_from"]) if "valid_from" in words else "",
        valid_to=day(words["valid_to"]) if "valid_to" in words else "2026-12-31",
    )


def _institution(words: Words) -> Institution:
    _only(words, _INSTITUTION_WORDS, "an institution")
    return Institution(
        name=words["name"],
        fixmedins_type=int(words["fixmedins_type"]),
        admdvs=words["admdvs"],
        designated=truth(words["designated"]),
        remote_settlement=truth(words["remote_settlement"]),
    )


def _premium(words: Words) -> Premium:
    _only(words, _PREMIUM_WORDS, "the premium")
    year = int(words["year"])
    return Premium(
        year=year,
        amount_fen=fen(words["amount"]),
        collect_from=day(words.get("collect_from", f"{year - 1}-01-01")),
        collect_to=day(words.get("collect_to", f"{year}-12-31")),
    )


def _persons_in(document: Words) -> set[str]:
    named = set(document.get("accounts", {}))
    for relation in _list(document, "relations"):
        named |= {relation["payer"], relation["beneficiary"]}
    for step in _list(document, "steps"):
        for words in step.values():
            if isinstance(words, dict):
                named |= {
                    words[role]
                    for role in ("patient", "bill_of", "person", "payer", "beneficiary", "insured")
                    if role in words
                }
    return {_person(name) for name in named}


def fen(amount: str) -> int:
    """Yuan as a person writes them, in fen, without a float in between."""
    try:
        value = Decimal(amount) * 100
    except InvalidOperation:
        raise ScriptError(f"{amount!r} is no amount") from None
    if value != value.to_integral_value():
        raise ScriptError(f"{amount!r} has parts of a fen")
    return int(value)


def truth(word: str) -> bool:
    """`true` or `false`."""
    if word not in ("true", "false"):
        raise ScriptError(f"{word!r} is neither true nor false")
    return word == "true"


def day(word: str) -> str:
    """A date as the contracts write it."""
    try:
        return date.fromisoformat(word).isoformat()
    except ValueError:
        raise ScriptError(f"{word!r} is no date") from None


def moment(word: str) -> datetime:
    """A time with its zone."""
    try:
        at = datetime.fromisoformat(word)
    except ValueError:
        raise ScriptError(f"{word!r} is no time") from None
    if at.tzinfo is None:
        raise ScriptError(f"{word!r} has no zone")
    return at


def limits_fen(words: Words) -> dict[str, int]:
    """Limits by window, in fen."""
    _only(words, frozenset(LIMIT_WINDOWS), "limits")
    return {window: fen(amount) for window, amount in words.items()}


def _list(document: Words, word: str) -> list[Any]:
    value = document.get(word) or []
    if not isinstance(value, list):
        raise ScriptError(f"{word} is no list")
    return value


def _only(words: Words, known: frozenset[str], what: str) -> None:
    if unknown := set(words) - known:
        raise ScriptError(f"{what} has {', '.join(sorted(unknown))}, which is not understood")


def _person(name: str) -> str:
    if name not in PERSONS:
        raise ScriptError(f"the person {name!r} is not known; the family is {', '.join(PERSONS)}")
    return name
