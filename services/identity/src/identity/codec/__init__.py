"""Between the contract's messages and the domain, both ways; a file for each noun."""

from identity.codec.access_log import access_filter, access_message
from identity.codec.days import day_or_none, day_text, period
from identity.codec.institutions import change_message, change_state, institution, institution_message
from identity.codec.pages import page, page_size, place_in, position
from identity.codec.persons import (
    certificate,
    correction,
    enrolment,
    enrolment_message,
    found_message,
    person_message,
    recorded_enrolment_message,
    register_row,
)
from identity.codec.remote_care import filing, filing_message
from identity.codec.verifications import shown_code
from identity.codec.visits import finding_numbers, visit_certificate_type, visit_facts
from kit.days import stated_day
from kit.timestamps import timestamp

__all__ = [
    "access_filter",
    "access_message",
    "certificate",
    "change_message",
    "change_state",
    "correction",
    "day_or_none",
    "day_text",
    "enrolment",
    "enrolment_message",
    "filing",
    "filing_message",
    "finding_numbers",
    "found_message",
    "institution",
    "institution_message",
    "page",
    "page_size",
    "period",
    "person_message",
    "place_in",
    "position",
    "recorded_enrolment_message",
    "register_row",
    "shown_code",
    "stated_day",
    "timestamp",
    "visit_certificate_type",
    "visit_facts",
]
