"""Between the contract's messages and the domain, both ways; a file for each noun."""

from identity.codec.days import day, day_or_none, day_text, period, timestamp
from identity.codec.institutions import institution, institution_message
from identity.codec.persons import certificate, enrolment, enrolment_message, person_message, register_row
from identity.codec.visits import finding_numbers, visit_certificate_type, visit_facts

__all__ = [
    "certificate",
    "day",
    "day_or_none",
    "day_text",
    "enrolment",
    "enrolment_message",
    "finding_numbers",
    "institution",
    "institution_message",
    "period",
    "person_message",
    "register_row",
    "timestamp",
    "visit_certificate_type",
    "visit_facts",
]
