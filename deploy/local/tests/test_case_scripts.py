"""Files of acceptance cases are read strictly: what is not understood is an error, what is not built is said."""

from pathlib import Path

import pytest

from gongji_local.cases.play import differences
from gongji_local.cases.script import Case, Premium, ScriptError, fen, limits_fen, moment, read

SETTLE = "{settle: {patient: child, medfee_sumamt: 1.00, fund_pay_sumamt: 0, psn_part_amt: 1.00}}"


def case_file(folder: Path, body: str) -> Path:
    path = folder / "cases.yaml"
    path.write_text(body, encoding="utf-8")
    return path


def one(folder: Path, body: str) -> Case:
    (case,) = read(case_file(folder, body))
    return case


@pytest.mark.parametrize(
    ("written", "meant"), [("0", 0), ("0.01", 1), ("90.00", 9000), ("5788.89", 578889), ("66.6", 6660)]
)
def test_amounts_are_read_in_fen_without_a_float(written: str, meant: int) -> None:
    assert fen(written) == meant


@pytest.mark.parametrize("written", ["0.001", "1,00", "", "ten", "1e-3"])
def test_an_amount_that_is_none_or_has_parts_of_a_fen_is_an_error(written: str) -> None:
    with pytest.raises(ScriptError):
        fen(written)


def test_a_time_without_a_zone_is_an_error() -> None:
    with pytest.raises(ScriptError, match="zone"):
        moment("2025-06-10T10:00:00")


def test_a_window_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ScriptError, match="week"):
        limits_fen({"week": "10.00"})


def test_a_case_knows_everybody_it_speaks_of(tmp_path: Path) -> None:
    case = one(
        tmp_path,
        f"- {{id: X, relations: [{{payer: father, beneficiary: child, limits: {{day: 1.00}}}}], steps: [{SETTLE}]}}",
    )
    assert isinstance(case, Case)
    assert case.persons == {"father", "child"}
    assert case.relations[0].limits_fen == {"day": 100}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("- {id: X, colour: red, steps: [" + SETTLE + "]}", "colour"),
        ("- {id: X, steps: [{dance: {}}]}", "dance"),
        ("- {id: X, steps: [{settle: {patient: child, tip: 1.00}}]}", "tip"),
        ("- {id: X, steps: [{settle: {patient: uncle}}]}", "uncle"),
        ("- {id: X, accounts: {nobody: 1.00}, steps: [" + SETTLE + "]}", "nobody"),
        ("- {id: X, steps: [{settle: {patient: child}, expect: {smile: true}}]}", "smile"),
        ("- {id: X, steps: []}", "no steps"),
        ("- {title: nameless}", "without an id"),
        ("just words", "no list of cases"),
        ("[", "no YAML"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_it(tmp_path: Path, body: str, word: str) -> None:
    with pytest.raises(ScriptError, match=word):
        read(case_file(tmp_path, body))


def test_a_premium_is_collected_all_the_time_unless_days_are_named(tmp_path: Path) -> None:
    step = "{premium: {insured: baby, year: 2026, payer: aunt}}"
    case = one(tmp_path, f"- {{id: X, premium: {{year: 2026, amount: 400.00}}, steps: [{step}]}}")
    assert case.premium == Premium(2026, 40_000, "2025-01-01", "2026-12-31")
    assert case.persons == {"baby", "aunt"}
    named = "premium: {year: 2026, amount: 0.01, collect_from: 2025-09-01, collect_to: 2025-12-31}"
    case = one(tmp_path, f"- {{id: X, {named}, steps: [{step}]}}")
    assert case.premium == Premium(2026, 1, "2025-09-01", "2025-12-31")


def test_an_answer_is_compared_with_all_that_is_expected() -> None:
    answer = {"acct_mulaid_pay": 9000, "lines": [["father", 9000, 41000]], "declines": [], "state": "ABANDONED"}
    assert (
        differences(answer, {"acct_mulaid_pay": "90.00", "lines": [["father", "90.00", "410.00"]], "declines": []})
        == []
    )
    assert differences(answer, {"acct_mulaid_pay": "90.01"}) != []
    assert differences(answer, {"lines": [["mother", "90.00", "410.00"]]}) != []
    assert differences(answer, {"declines": [["father", "LIMIT_REACHED", "day"]]}) != []
    assert differences(answer, {"same_answer": "true"}) != []
