"""The metrics of binding."""

from typing import Final

from kit.metrics import Declaring, Label

_BINDING: Final = Declaring("binding")

CONTRADICTIONS: Final = _BINDING.counter(
    "gongji_binding_contradictory_outcomes_total",
    "Outcomes of settlements that contradict an earlier one; the first stands.",
    unit="outcomes",
)
UNKNOWN_RELATIONS: Final = _BINDING.counter(
    "gongji_binding_outcomes_of_unknown_relations_total",
    "Relations named in outcomes that binding does not have.",
    unit="relations",
)
CONTRADICTED: Final = _BINDING.counter(
    "gongji_binding_relations_contradicted_total",
    "Relations suspended because a corrected birth date contradicts them.",
    unit="relations",
)
UNANNOUNCED: Final = _BINDING.counter(
    "gongji_binding_unannounced_calendar_days_total",
    "Days looked up in a year whose holidays and make-up working days are not known to the calendar.",
    unit="days",
    labels=(Label("year", "the year", most=16),),
)
