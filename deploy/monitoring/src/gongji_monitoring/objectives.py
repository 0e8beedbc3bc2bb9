"""Objectives (SLO): which share of calls has to be good over 30 days, and what tells how fast the rest is used up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gongji_monitoring.rule_files import Alert, Recording, Severity

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
LONG_SECONDS: Final = {"1h": 3_600, "6h": 21_600, "1d": 86_400, "3d": 259_200}
FAULTS: Final = "INTERNAL|UNKNOWN|UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|DATA_LOSS|UNIMPLEMENTED"
"""Codes that are the platform's fault; a refusal by the rules is a good answer."""
SETTLING: Final = "/gongji.settlement.v1.SettlementService/(Settle|PreSettle|BatchSettle|Resettle|Reverse)"
SETTLING_ONE: Final = "/gongji.settlement.v1.SettlementService/(Settle|PreSettle|Resettle|Reverse)"
"""A batch may take longer than a bill."""
SHOWING: Final = "/gongji.identity.v1.VisitService/Identify"
BURN: Final = "gongji:slo_errors:ratio_rate"
BAD: Final = "gongji:slo_errors:increase"
FEW: Final = 5
"""Bad calls that wake nobody: of three calls at night one is a third."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective."""

    name: str
    share: float
    """Of calls that have to be good, over 30 days."""
    bad: str
    """Calls a second that were not, over a window `{window}`."""
    all: str

    def recordings(self) -> list[Recording]:
        """The share of bad calls over each window, and how many they were over the long ones."""
        labels = {"slo": self.name}
        shares = [
            Recording(f"{BURN}{window}", f"{self._bad(window)} / {self.all.replace('WINDOW', window)}", labels)
            for window in WINDOWS
        ]
        return [
            *shares,
            *(
                Recording(f"{BAD}{window}", f"{self._bad(window)} * {LONG_SECONDS[window]}", labels)
                for window in LONG_SECONDS
            ),
        ]

    def _bad(self, window: str) -> str:
        return self.bad.replace("WINDOW", window)


def _calls(matchers: str) -> str:
    return f"sum by (namespace) (rate(gongji_grpc_calls_total{{{matchers}}}[WINDOW]))"


def _seconds(series: str, matchers: str) -> str:
    return f"sum by (namespace) (rate(gongji_grpc_duration_seconds_{series}{{{matchers}}}[WINDOW]))"


def _answered(name: str, methods: str, share: float) -> Objective:
    # Without a fault the first is absent, and the share would be too: so zero times all stands in for it.
    every = _calls(f'method=~"{methods}"')
    faults = _calls(f'method=~"{methods}", code=~"{FAULTS}"')
    return Objective(name, share, f"({faults} or 0 * {every})", every)


def _quick(name: str, methods: str, within_seconds: str, share: float) -> Objective:
    every = _seconds("count", f'method=~"{methods}"')
    quick = _seconds("bucket", f'method=~"{methods}", le="{within_seconds}"')
    return Objective(name, share, f"({every} - {quick})", every)


OBJECTIVES: Final = (
    _answered("settle-answered", SETTLING, 0.999),
    _quick("settle-quick", SETTLING_ONE, "0.5", 0.99),
    _answered("visit-answered", SHOWING, 0.999),
)


@dataclass(frozen=True, slots=True)
class _Burn:
    """A pace: so many times as fast as the budget allows, in a long and in a short window."""

    times: float
    long: str
    short: str


# Google's "Site Reliability Workbook", chapter 5: 2 % of the month's budget in an hour, 5 % in six hours; 10 % in a day
# or in three.
_FAST: Final = (_Burn(14.4, "1h", "5m"), _Burn(6, "6h", "30m"))
_SLOW: Final = (_Burn(3, "1d", "2h"), _Burn(1, "3d", "6h"))


def _burning(burns: Sequence[_Burn]) -> str:
    return " or ".join(_clause(objective, burn) for objective in OBJECTIVES for burn in burns)


def _clause(objective: Objective, burn: _Burn) -> str:
    of = f'{{slo="{objective.name}"}}'
    above = f"{of} > {burn.times * (1 - objective.share):.6g}"
    return f"({BURN}{burn.long}{above} and {BURN}{burn.short}{above} and {BAD}{burn.long}{of} > {FEW})"


BURN_ALERTS: Final = (
    Alert(
        "GongjiErrorBudgetBurnsFast",
        _burning(_FAST),
        "2m",
        Severity.PAGE,
        "{{ $labels.slo }} fails so often that the month's budget is gone in days",
        "{{ $labels.slo }} 失败过多，本月的错误预算几天内就会用完",
        "{{ $value | humanizePercentage }} of calls were bad in the long window, and in the short one it goes on.",
    ),
    Alert(
        "GongjiErrorBudgetBurnsSlowly",
        _burning(_SLOW),
        "15m",
        Severity.TICKET,
        "{{ $labels.slo }} fails more often than the month's budget allows",
        "{{ $labels.slo }} 失败偏多，超出本月错误预算",
        "{{ $value | humanizePercentage }} of calls were bad in the long window, and in the short one it goes on.",
    ),
)
