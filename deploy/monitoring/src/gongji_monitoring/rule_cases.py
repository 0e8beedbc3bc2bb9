"""What each alert must fire on and what it must not, for promtool; a minute is a sample."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gongji_monitoring.objectives import BURN
from gongji_monitoring.rule_files import HEAD, as_yaml

Series = Mapping[str, str]
"""By series, values in promtool's notation: `0+60x30` is thirty minutes of one a second."""


MINUTE: Final = "1m"
TEN_MINUTES: Final = "10m"


@dataclass(frozen=True, slots=True)
class Case:
    """One alert with what it fires on, and with what looks much like it."""

    alert: str
    fires_on: Series
    labels: Mapping[str, str]
    """Of the alert that fires, beside its name and severity."""
    silent_on: Sequence[Series]
    """It never fires on these, from the start to `at`."""
    also_fires_on: Sequence[Series] = ()
    over_on: Sequence[Series] = ()
    """What it fired on is over by then."""
    at: str = "30m"
    step: str = MINUTE
    """Between two samples; each is tried with all of the rules, so that what takes days is looked at less often."""


def _calls(code: str, method: str = "settlement.v1.SettlementService/Settle", **more: str) -> str:
    labels = {"method": f"/gongji.{method}", "code": code, "principal": "institution", "reason": "", **more}
    stated = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return f'gongji_grpc_calls_total{{namespace="gongji", service="settlement", {stated}}}'


def _of(metric: str, service: str = "settlement", **labels: str) -> str:
    stated = "".join(f', {name}="{value}"' for name, value in labels.items())
    return f'{metric}{{namespace="gongji", service="{service}"{stated}}}'


def _up(service: str = "settlement", **labels: str) -> str:
    return _of("up", service, job="gongji", **labels)


def _within(le: str) -> str:
    return _of("gongji_grpc_duration_seconds_bucket", method="/gongji.settlement.v1.SettlementService/Settle", le=le)


def _count() -> str:
    return _of("gongji_grpc_duration_seconds_count", method="/gongji.settlement.v1.SettlementService/Settle")


def _ready(pod: str) -> str:
    return _of("gongji_process_ready", pod=pod)


def _unread(minutes: int) -> str:
    return " ".join(["NaN"] * minutes)  # promtool repeats figures alone


HERE: Final = {"namespace": "gongji"}
SETTLEMENT: Final = {**HERE, "service": "settlement"}
BINDING: Final = {**HERE, "service": "binding", "group": "binding"}
_EXAMPLE: Final = Case(
    "GongjiServiceDown",
    {_up(pod="a"): "1x10 0x60", _up(pod="b"): "0x70"},
    SETTLEMENT,
    [
        {_up(pod="a"): "1x60", _up(pod="b"): "0x60"},
        {_up("somebody-else"): "0x60"},
        {_of("up", "identity", job="somebody/else"): "0x60"},
        {_up(pod="a"): "1x60", _ready("a"): "0x60", _up(pod="b"): "1x60", _ready("b"): "1x60"},
        # Replaced by another pod, in whose place the first is soon forgotten.
        {_up(pod="a"): "1x10 _x50", _up(pod="b"): "_x9 1x50"},
    ],
    also_fires_on=[
        {_up(pod="a"): "1x60", _ready("a"): "1x10 0x50", _up(pod="b"): "1x60", _ready("b"): "0x60"},
        {_up(pod="a"): "1x10 stale _x50"},
    ],
)

CASES: Final = (
    _EXAMPLE,
    Case(
        "GongjiSettleErrors",
        {_calls("OK"): "0+540x60", _calls("UNAVAILABLE"): "0+60x60"},
        HERE,
        [
            {_calls("OK"): "0+540x60", _calls("FAILED_PRECONDITION", reason="LIMIT_REACHED"): "0+300x60"},
            {_calls("OK"): "0+5940x60", _calls("UNAVAILABLE"): "0+60x60"},
            {_calls("OK"): "0x60", _calls("UNAVAILABLE"): "0x60"},
            # A night with few calls, of which some fail: a bill in each ten minutes, the busiest three of five.
            {_calls("OK"): "0+0.1x60", _calls("UNAVAILABLE"): "0x10 1 2 3x40"},
            {_calls("OK"): "0+60x60", _calls("INTERNAL", "notify.v1.InboxService/ListMessages"): "0+60x60"},
        ],
    ),
    Case(
        "GongjiSettleSlow",
        {_within("2"): "0+900x60", _within("5"): "0+1000x60", _within("+Inf"): "0+1000x60", _count(): "0+1000x60"},
        HERE,
        [
            {_within("2"): "0+995x60", _within("5"): "0+1000x60", _within("+Inf"): "0+1000x60", _count(): "0+1000x60"},
            {_within("2"): "0x60", _within("5"): "0+2x60", _within("+Inf"): "0+2x60", _count(): "0+2x60"},
        ],
    ),
    Case(
        "GongjiOverloaded",
        {_calls("RESOURCE_EXHAUSTED", reason="OVERLOADED"): "0+60x60"},
        SETTLEMENT,
        [
            {_calls("RESOURCE_EXHAUSTED", reason="OVERLOADED"): "7x60"},
            {_calls("RESOURCE_EXHAUSTED", reason="TOO_MANY_ATTEMPTS"): "0+60x60"},
        ],
    ),
    Case(
        "GongjiDatabasePoolExhausted",
        {_of("gongji_database_refused_total"): "0+6x60"},
        SETTLEMENT,
        [{_of("gongji_database_refused_total"): "9x60"}],
    ),
    Case(
        "GongjiPendingTooOld",
        {_of("gongji_settlement_oldest_pending_seconds", pod="a"): "100+60x60"},
        HERE,
        [{_of("gongji_settlement_oldest_pending_seconds", pod="a"): "0 30 119 0 15x56"}],
    ),
    Case(
        "GongjiSweeperStopped",
        {_of("gongji_settlement_last_sweep_seconds", pod="a"): "0+60x10 600x60"},
        HERE,
        [
            {
                _of("gongji_settlement_last_sweep_seconds", pod="a"): "0x60",
                _of("gongji_settlement_last_sweep_seconds", pod="b"): "0+60x60",
            }
        ],
    ),
    Case(
        "GongjiSettlementsLeftBehind",
        {_of("gongji_settlement_swept_total"): "0x20 3x40"},
        HERE,
        [{_of("gongji_settlement_swept_total"): "3x60"}],
    ),
    Case(
        "GongjiAuditFinding",
        {_of("gongji_audit_findings", check="postings sum to zero"): "0x10 2x50"},
        {**SETTLEMENT, "check": "postings sum to zero"},
        [{_of("gongji_audit_findings", check="postings sum to zero"): "0x60"}],
        over_on=[{_of("gongji_audit_findings", check="postings sum to zero"): "2x10 0x50"}],
    ),
    Case(
        "GongjiAuditOverdue",
        {_of("gongji_audit_last_complete_seconds", pod="a"): "60x200"},
        SETTLEMENT,
        [
            {_of("gongji_audit_last_complete_seconds", pod="a"): "60x100 60000x100"},
            # never audited, and new: the figure has been there for 25 hours only
            {_of("gongji_audit_last_complete_seconds", pod="a"): "_x19 0x150"},
            # new, and audited on its first night
            {
                _of("gongji_audit_last_complete_seconds", pod="a"): "0x80 48000x100",
                _of("gongji_audit_last_complete_seconds", pod="b"): "0x81 48000x100",
            },
        ],
        also_fires_on=[
            # never audited, though pods changed and nobody looked for an hour in between
            {
                _of("gongji_audit_last_complete_seconds", pod="a"): "0x3 _x6 0x60",
                _of("gongji_audit_last_complete_seconds", pod="b"): "_x70 0x130",
            }
        ],
        at="28h",
        step=TEN_MINUTES,
    ),
    Case(
        "GongjiDayNotClosed",
        {_of("gongji_settlement_unclosed_since_seconds", pod="a"): "0x5 1800x100"},
        HERE,
        [
            {_of("gongji_settlement_unclosed_since_seconds", pod="a"): "0x100"},
            # closed a quarter of an hour before noon; each replica hears of it a little later
            {
                _of("gongji_settlement_unclosed_since_seconds", pod="a"): "1800x72 0x30",
                _of("gongji_settlement_unclosed_since_seconds", pod="b"): "1800x73 0x30",
            },
        ],
        over_on=[{_of("gongji_settlement_unclosed_since_seconds", pod="a"): "1800x76 0x30"}],
        at="13h",
        step=TEN_MINUTES,
    ),
    Case(
        "GongjiContradictoryOutcomes",
        {_of("gongji_binding_contradictory_outcomes_total", "binding"): "0x20 1x40"},
        HERE,
        [{_of("gongji_binding_contradictory_outcomes_total", "binding"): "4x60"}],
    ),
    Case(
        "GongjiOutboxOld",
        {_of("gongji_outbox_oldest_unsent_seconds", pod="a"): "0+30x60"},
        SETTLEMENT,
        [{_of("gongji_outbox_oldest_unsent_seconds", pod="a"): "0 20 59 3x60"}],
    ),
    Case(
        "GongjiNoRelay",
        {_of("gongji_outbox_relay_active", pod="a"): "1x10 0x50", _of("gongji_outbox_relay_active", pod="b"): "0x60"},
        SETTLEMENT,
        [{_of("gongji_outbox_relay_active", pod="a"): "0x60", _of("gongji_outbox_relay_active", pod="b"): "1x60"}],
    ),
    Case(
        "GongjiConsumerStalled",
        {_of("gongji_projection_age_seconds", "binding", group="binding", pod="a"): "0x10 60+60x50"},
        BINDING,
        [{_of("gongji_projection_age_seconds", "binding", group="binding", pod="a"): "0 60 120 180 240 3x60"}],
    ),
    Case(
        "GongjiConsumerDisconnected",
        {
            _of("gongji_consumer_connected", "binding", group="binding", pod="a"): "0x60",
            _of("gongji_consumer_connected", "binding", group="binding", pod="b"): "1x60",
        },
        BINDING,
        [{_of("gongji_consumer_connected", "binding", group="binding", pod="a"): "0 0 1x60"}],
    ),
    Case(
        "GongjiConsumerHalted",
        {_of("gongji_consumer_halted", "binding", group="binding", pod="a"): "0x10 1x50"},
        BINDING,
        [{_of("gongji_consumer_halted", "binding", group="binding", pod="a"): "0x60"}],
    ),
    Case(
        "GongjiDeadLetters",
        {_of("gongji_dlq_open_letters", "binding", group="binding", topic="settlement-events-v1"): "0x10 1x50"},
        {**BINDING, "topic": "settlement-events-v1"},
        [{_of("gongji_dlq_open_letters", "binding", group="binding", topic="settlement-events-v1"): "0x60"}],
        over_on=[
            {_of("gongji_dlq_open_letters", "binding", group="binding", topic="settlement-events-v1"): "4x10 0x50"}
        ],
    ),
    Case(
        "GongjiJobFailing",
        {_of("gongji_job_failures_in_row", job_name="seal-entries", pod="a"): "0+1x60"},
        {**SETTLEMENT, "job_name": "seal-entries"},
        [
            {
                _of("gongji_job_failures_in_row", job_name="seal-entries", pod="a"): "9x60",
                _of("gongji_job_failures_in_row", job_name="seal-entries", pod="b"): "0x60",
            }
        ],
    ),
    Case(
        "GongjiMonthsMissing",
        {
            _of("gongji_months_ahead", table="inbox", pod="a"): "3x3 0x57",
            _of("gongji_months_ahead", table="outbox_event", pod="a"): "3x60",
        },
        {**SETTLEMENT, "table": "inbox"},
        [{_of("gongji_months_ahead", table="inbox", pod="a"): "3x10 0x8 1x42"}],
        at="300m",
        step=TEN_MINUTES,
    ),
    Case(
        "GongjiRowsWithoutMonth",
        {_of("gongji_months_rest", table="inbox", pod="a"): "0x3 1x57"},
        {**SETTLEMENT, "table": "inbox"},
        [{_of("gongji_months_rest", table="inbox", pod="a"): "0x10 1x8 0x42"}],
        over_on=[{_of("gongji_months_rest", table="inbox", pod="a"): "1x20 0x40"}],
        at="300m",
        step=TEN_MINUTES,
    ),
    Case(
        "GongjiCertificateExpiring",
        {_of("gongji_certificate_days_left", certificate="kafka"): "13x120"},
        {**SETTLEMENT, "certificate": "kafka"},
        [
            {_of("gongji_certificate_days_left", certificate="kafka"): "15x120"},
            {_of("gongji_certificate_days_left", certificate="kafka"): "13x30 89x90"},
        ],
        at="90m",
    ),
    Case(
        "GongjiCertificateNearlyExpired",
        {_of("gongji_certificate_days_left", certificate="server"): "-1x60"},
        {**SETTLEMENT, "certificate": "server"},
        [{_of("gongji_certificate_days_left", certificate="server"): "3x60"}],
    ),
    Case(
        "GongjiCertificateUnreadable",
        {
            _of("gongji_certificate_days_left", certificate="server", pod="a"): f"80x5 {_unread(55)}",
            _of("gongji_certificate_days_left", certificate="server", pod="b"): "80x60",
        },
        {**SETTLEMENT, "certificate": "server"},
        [
            {_of("gongji_certificate_days_left", certificate="server", pod="a"): "80x60"},
            # For a moment, while the file is replaced.
            {_of("gongji_certificate_days_left", certificate="server", pod="a"): f"80x5 {_unread(5)} 89x50"},
        ],
    ),
    Case(
        "GongjiClockOff",
        {_of("gongji_clock_offset_seconds", pod="a"): "-600x60"},
        {**SETTLEMENT, "pod": "a"},
        [
            {_of("gongji_clock_offset_seconds", pod="a"): "0.2x60"},
            {_of("gongji_clock_offset_seconds", pod="a"): "45x2 0x58"},
        ],
        over_on=[{_of("gongji_clock_offset_seconds", pod="a"): "45x10 0x50"}],
    ),
    Case(
        "GongjiErrorBudgetBurnsFast",
        {_calls("OK"): "0+960x120", _calls("INTERNAL"): "0+40x120"},
        {**HERE, "slo": "settle-answered"},
        [
            {_calls("OK"): "0+9999x120", _calls("INTERNAL"): "0+1x120"},
            # Of the night's sixty calls three.
            {_calls("OK"): "0+1x120", _calls("INTERNAL"): "0x60 3x60"},
        ],
        # The long window still has it; the short one keeps it from waking anybody.
        over_on=[{_calls("OK"): "0+960x120", _calls("INTERNAL"): "0+40x60 2400x60"}],
        at="110m",
    ),
    Case(
        "GongjiErrorBudgetBurnsSlowly",
        {_count(): "0+10000x200", _within("0.5"): "0+9600x200"},
        {**HERE, "slo": "settle-quick"},
        [
            {_count(): "0+10000x200", _within("0.5"): "0+9950x200"},
            {_count(): "0x200", _within("0.5"): "0x200"},
        ],
        at="30h",
        step=TEN_MINUTES,
    ),
)


def written(severities: Mapping[str, str], rules: str, step: str) -> str:
    """A file of tests for promtool, of the cases of this step.

    Args:
        severities: by alert.
        rules: the file beside it that is tested.
        step: between two looks at the rules.
    """
    tests = [test for case in CASES if case.step == step for test in _tests(case, severities[case.alert])]
    further = [_figures(), _annotations()] if step == MINUTE else []
    return HEAD + as_yaml({"rule_files": [rules], "evaluation_interval": step, "tests": [*tests, *further]})


def _tests(case: Case, severity: str) -> list[dict[str, Any]]:
    firing = f'ALERTS{{alertname="{case.alert}", alertstate="firing"}}'
    labels = {"alertname": case.alert, "alertstate": "firing", "severity": severity, **case.labels}
    stated = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    fires = [
        _test(name, series, firing, case.at, [{"labels": f"ALERTS{{{stated}}}", "value": 1}], step=case.step)
        for name, series in _firing(case)
    ]
    ever = f"count_over_time({firing}[{case.at}])"
    never = [
        _test(f"{case.alert} is silent ({number})", series, ever, case.at, [], step=case.step)
        for number, series in enumerate(case.silent_on, 1)
    ]
    over = [
        _test(f"{case.alert} is over ({number})", series, firing, case.at, [], step=case.step)
        for number, series in enumerate(case.over_on, 1)
    ]
    return [*fires, *never, *over]


def _firing(case: Case) -> Iterator[tuple[str, Series]]:
    yield f"{case.alert} fires", case.fires_on
    for number, series in enumerate(case.also_fires_on, 2):
        yield f"{case.alert} fires ({number})", series


def _test(
    name: str, series: Series, expr: str, at: str, samples: list[dict[str, Any]], *, step: str = MINUTE
) -> dict[str, Any]:
    return {
        "name": name,
        "interval": step,
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": at, "exp_samples": samples}],
    }


def _figures() -> dict[str, Any]:
    """The share of bad calls is worked out rightly, also while there are none."""
    series = {_calls("OK"): "0+54x60", _calls("UNAVAILABLE"): "0x30 0+6x30"}
    test = _test("shares", series, f'{BURN}5m{{slo="settle-answered"}}', "20m", [_share(0)])
    later = {"expr": f'{BURN}5m{{slo="settle-answered"}}', "eval_time": "50m", "exp_samples": [_share(0.1)]}
    return {**test, "promql_expr_test": [*test["promql_expr_test"], later]}


def _share(value: float) -> dict[str, Any]:
    return {"labels": f'{BURN}5m{{namespace="gongji", slo="settle-answered"}}', "value": value}


def _annotations() -> dict[str, Any]:
    """What people are told, of one alert."""
    name = _EXAMPLE.alert
    annotations = {
        "summary": "No process of settlement can be called",
        "summary_zh": "settlement 没有可用的进程",
        "description": "In gongji no process of settlement answers Prometheus and is ready.",
        "runbook_url": f"docs/operations/alerts.md#{name.lower()}",
    }
    return {
        "name": "texts",
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in _EXAMPLE.fires_on.items()],
        "alert_rule_test": [
            {
                "eval_time": "30m",
                "alertname": name,
                "exp_alerts": [{"exp_labels": {"severity": "page", **_EXAMPLE.labels}, "exp_annotations": annotations}],
            }
        ],
    }
