"""The metrics of settlement: what settlements came to and moved, counted a batch at a time once it is committed."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Final

from kit.metrics import Declaring, Label
from settlement.domain.quotes import Quote
from settlement.domain.state import Settlement, SettlementState

_SETTLEMENT: Final = Declaring("settlement")

OUTCOMES: Final = _SETTLEMENT.counter(
    "gongji_settlements_total",
    "Settlements that came to an outcome; one that is settled and reversed later counts with each. `HELD` are previews"
    " that hold. What was refused before an intent was written is in `gongji_grpc_calls_total` only.",
    unit="settlements",
    labels=(
        Label("outcome", "the state", ("SETTLED", "REFUSED", "ABANDONED", "REVERSED", "HELD")),
        Label("reason", "why it was refused or abandoned; else empty", most=128),
    ),
)
FEN: Final = _SETTLEMENT.counter(
    "gongji_settlement_fen_total",
    "Money that settlements moved between personal accounts and institutions or funds.",
    unit="fen",
    labels=(
        Label("direction", "`taken` from accounts, or `given_back` to them", ("taken", "given_back")),
        Label("account", "the patient's `own`, or those of `mutual_aid`", ("own", "mutual_aid")),
    ),
)
PENDING: Final = _SETTLEMENT.gauge(
    "gongji_settlement_pending", "Settlements and previews that are PENDING.", unit="settlements"
)
PENDING_AGE: Final = _SETTLEMENT.gauge(
    "gongji_settlement_oldest_pending_seconds", "How long the oldest of them has been PENDING; 0 without any.", unit="s"
)
SWEPT: Final = _SETTLEMENT.counter(
    "gongji_settlement_swept_total",
    "Settlements that were left PENDING and given up by the sweeper: a process died, or could not give up itself.",
    unit="settlements",
)
EXPIRED: Final = _SETTLEMENT.counter(
    "gongji_settlement_previews_expired_total",
    "Held previews that ran out, as the sweeper found them.",
    unit="previews",
)
SWEEP_FAILURES: Final = _SETTLEMENT.counter(
    "gongji_settlement_sweep_failures_total", "Rounds of the sweeper that failed.", unit="rounds"
)
SWEPT_AT: Final = _SETTLEMENT.gauge(
    "gongji_settlement_last_sweep_seconds", "When the sweeper last ended a round, Unix time.", unit="s"
)
UNCLOSED_SINCE: Final = _SETTLEMENT.gauge(
    "gongji_settlement_unclosed_since_seconds",
    "When the oldest day ended that is over and not closed, Unix time; 0 without any.",
    unit="s",
)

# Finding a metric by its labels costs more than counting.
_outcomes = cache(OUTCOMES.labels)
_TAKEN: Final = (FEN.labels("taken", "own"), FEN.labels("taken", "mutual_aid"))
_GIVEN_BACK: Final = (FEN.labels("given_back", "own"), FEN.labels("given_back", "mutual_aid"))


def count(decided: Iterable[Settlement | Quote]) -> None:
    """Count what settlements and previews have just come to, and what that moved."""
    outcomes: Counter[tuple[str, str]] = Counter()
    taken, given_back = [0, 0], [0, 0]
    for each in decided:
        if isinstance(each, Quote):
            outcomes["HELD", ""] += 1
            continue
        outcomes[each.state.value, each.reason or ""] += 1
        if each.split is not None and each.state is SettlementState.SETTLED:
            _add(taken, each)
        elif each.split is not None and each.state is SettlementState.REVERSED:
            _add(given_back, each)
    for labels, number in outcomes.items():
        _outcomes(*labels).inc(number)
    for counters, fen in ((_TAKEN, taken), (_GIVEN_BACK, given_back)):
        for counter, amount_fen in zip(counters, fen, strict=True):
            if amount_fen:
                counter.inc(amount_fen)


def _add(fen: list[int], settlement: Settlement) -> None:
    if settlement.split is not None:
        fen[0] += settlement.split.acct_pay_fen
        fen[1] += settlement.split.acct_mulaid_pay_fen
