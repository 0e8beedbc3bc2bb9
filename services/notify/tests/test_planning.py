"""Which channels a notice goes out on, and when: what people chose, and what no choice changes (R15)."""

from datetime import UTC, datetime, time, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.domain.channels import OUTSIDE, Channel
from notify.domain.kinds import REQUIRED, Kind
from notify.domain.planning import DEFAULT_QUIET, Addressed, Planned, QuietHours, Recipient, Verified, plan

SHANGHAI = timezone(timedelta(hours=8))
"""As wall clocks have gone there since 1991: no summer time."""
NIGHT = datetime(2025, 6, 10, 23, 30, tzinfo=SHANGHAI)
NOON = datetime(2025, 6, 10, 12, 0, tzinfo=SHANGHAI)
SPREAD = timedelta(minutes=5)
BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
PHONE, MAIL = Verified(UUID(int=1), BEFORE), Verified(UUID(int=2), BEFORE)

minutes = st.builds(time, st.integers(0, 23), st.integers(0, 59))
moments = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
quiet_hours = st.tuples(minutes, minutes).filter(lambda both: both[0] != both[1]).map(lambda both: QuietHours(*both))
recipients = st.builds(
    Recipient,
    st.sampled_from(["1001", "1002", "1003"]),
    quiet=st.none() | quiet_hours,
    contacts=st.dictionaries(st.sampled_from(sorted(OUTSIDE, key=str)), st.builds(Verified, st.uuids(), moments)),
    unwanted=st.frozensets(st.tuples(st.sampled_from(Kind), st.sampled_from(Channel))),
)
crowds = st.lists(recipients, max_size=3).map(lambda many: {one.psn_no: one for one in many})
noticed = st.lists(
    st.builds(Addressed, st.uuids(), st.sampled_from(["1001", "1002", "1003", "1004"]), st.sampled_from(Kind), moments),
    max_size=6,
    unique_by=lambda one: (one.event_id, one.psn_no),
)


def notice(kind: Kind = Kind.REFUND, psn_no: str = "1001") -> Addressed:
    return Addressed(uuid4(), psn_no, kind, NOON)


def by_phone(**more: object) -> dict[str, Recipient]:
    return {"1001": Recipient("1001", contacts={Channel.SMS: PHONE}, **more)}  # type: ignore[arg-type]


def minute_of(at: datetime) -> int:
    local = at.astimezone(SHANGHAI)
    return local.hour * 60 + local.minute


def is_quiet(quiet: QuietHours, minute: int) -> bool:
    """The same by another way: walking from the start, minute by minute, until the end is met."""
    at, end = quiet.starts.hour * 60 + quiet.starts.minute, quiet.ends.hour * 60 + quiet.ends.minute
    while at != end:
        if at == minute:
            return True
        at = (at + 1) % (24 * 60)
    return False


def test_somebody_who_never_said_anything_has_the_inbox_alone() -> None:
    assert plan([notice()], {}, NOON) == []
    assert plan([notice()], {"1001": Recipient("1001")}, NOON) == []
    assert plan([notice(psn_no="1002")], by_phone(), NOON) == []


def test_a_verified_contact_is_told_of_every_kind_at_once_by_day() -> None:
    told = [notice(kind) for kind in Kind]
    assert plan(told, by_phone(), NOON) == [
        Planned(one.event_id, "1001", one.kind, Channel.SMS, PHONE.contact_id, NOON) for one in told
    ]


def test_a_notice_goes_out_once_on_each_channel_of_the_person() -> None:
    people = {"1001": Recipient("1001", contacts={Channel.SMS: PHONE, Channel.EMAIL: MAIL})}
    found = plan([notice()], people, NOON)
    assert {(one.channel, one.contact_id) for one in found} == {
        (Channel.SMS, PHONE.contact_id),
        (Channel.EMAIL, MAIL.contact_id),
    }


def test_nothing_of_before_a_contact_was_verified_goes_there() -> None:
    at_noon = {"1001": Recipient("1001", contacts={Channel.SMS: Verified(PHONE.contact_id, NOON)})}
    assert len(plan([notice()], at_noon, NIGHT)) == 1
    later = {"1001": Recipient("1001", contacts={Channel.SMS: Verified(PHONE.contact_id, NOON + timedelta(seconds=1))})}
    assert plan([notice()], later, NIGHT) == []


def test_what_somebody_switched_off_stays_away_from_that_channel_and_from_no_other() -> None:
    people = {
        "1001": Recipient(
            "1001",
            contacts={Channel.SMS: PHONE, Channel.EMAIL: MAIL},
            unwanted=frozenset({(Kind.DEBIT, Channel.SMS)}),
        )
    }
    assert [one.channel for one in plan([notice(Kind.DEBIT)], people, NOON)] == [Channel.EMAIL]
    assert len(plan([notice(Kind.REFUND)], people, NOON)) == 2


def test_a_telephone_is_left_alone_at_night_until_eight_the_next_morning() -> None:
    (late,) = plan([notice()], by_phone(), NIGHT)
    assert within_five_minutes(late.not_before, datetime(2025, 6, 11, 8, 0, tzinfo=SHANGHAI))
    (early,) = plan([notice()], by_phone(), datetime(2025, 6, 11, 3, 0, tzinfo=SHANGHAI))
    assert within_five_minutes(early.not_before, datetime(2025, 6, 11, 8, 0, tzinfo=SHANGHAI))


def within_five_minutes(at: datetime, begins: datetime) -> bool:
    return begins <= at < begins + SPREAD


def test_a_crowd_that_waited_for_the_morning_is_spread_over_five_minutes() -> None:
    found = {one.not_before for one in plan([notice() for _ in range(200)], by_phone(), NIGHT)}
    assert len(found) > 50
    assert max(found) - min(found) > SPREAD / 2


def test_a_debit_is_told_at_night_too() -> None:
    (found,) = plan([notice(Kind.DEBIT)], by_phone(), NIGHT)
    assert found.not_before == NIGHT


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.DEBIT}, key=str))
def test_every_other_kind_waits_for_the_morning(kind: Kind) -> None:
    (found,) = plan([notice(kind)], by_phone(), NIGHT)
    assert found.not_before > NIGHT


@pytest.mark.parametrize("channel", sorted(OUTSIDE - {Channel.SMS}, key=str))
def test_nothing_but_a_telephone_has_quiet_hours(channel: Channel) -> None:
    (found,) = plan([notice()], {"1001": Recipient("1001", contacts={channel: MAIL})}, NIGHT)
    assert found.not_before == NIGHT


def test_somebody_without_quiet_hours_is_told_at_night() -> None:
    (found,) = plan([notice()], by_phone(quiet=None), NIGHT)
    assert found.not_before == NIGHT


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        ("21:59:59.999999", None),
        ("22:00:00", "2025-06-11"),
        ("23:59:59.999999", "2025-06-11"),
        ("00:00:00", "2025-06-10"),
        ("07:59:59.999999", "2025-06-10"),
        ("08:00:00", None),
    ],
)
def test_quiet_hours_begin_and_end_on_the_minute(at: str, ends: str | None) -> None:
    moment = datetime.combine(NOON.date(), time.fromisoformat(at), SHANGHAI)
    expected = None if ends is None else datetime.fromisoformat(f"{ends}T08:00:00+08:00")
    assert DEFAULT_QUIET.end_after(moment) == expected


@given(quiet_hours, moments)
def test_a_moment_is_quiet_by_the_wall_clock_of_shanghai_whatever_the_day(quiet: QuietHours, at: datetime) -> None:
    assert (quiet.end_after(at) is not None) == is_quiet(quiet, minute_of(at))


@given(quiet_hours, moments)
def test_the_end_is_the_first_moment_that_is_no_longer_quiet_and_less_than_a_day_away(
    quiet: QuietHours, at: datetime
) -> None:
    end = quiet.end_after(at)
    if end is not None:
        assert timedelta() < end - at < timedelta(days=1)
        assert end.astimezone(SHANGHAI).time() == quiet.ends
        assert quiet.end_after(end) is None
        assert quiet.end_after(end - timedelta(microseconds=1)) == end


@given(recipients, st.sampled_from(Kind))
def test_what_the_rules_require_is_kept_in_the_inbox_whatever_was_chosen(told: Recipient, kind: Kind) -> None:
    kept = told.keeps_in_inbox(kind)
    assert kept or kind not in REQUIRED
    assert kept or (kind, Channel.INBOX) in told.unwanted
    assert kept == (kind in REQUIRED or (kind, Channel.INBOX) not in told.unwanted)


@given(noticed, crowds, moments)
def test_a_plan_has_each_wanted_contact_once_and_nothing_else(
    notices: list[Addressed], people: dict[str, Recipient], now: datetime
) -> None:
    found = plan(notices, people, now)
    wanted = [
        (one.event_id, one.psn_no, channel, contact.contact_id)
        for one in notices
        for channel, contact in (people[one.psn_no].contacts.items() if one.psn_no in people else ())
        if one.occurred_at >= contact.verified_at and (one.kind, channel) not in people[one.psn_no].unwanted
    ]
    assert [(one.event_id, one.psn_no, one.channel, one.contact_id) for one in found] == wanted
    assert len({(one.event_id, one.psn_no, one.channel) for one in found}) == len(found)


@given(noticed, crowds, moments)
def test_only_a_telephone_waits_never_for_a_debit_and_never_a_day(
    notices: list[Addressed], people: dict[str, Recipient], now: datetime
) -> None:
    for one in plan(notices, people, now):
        quiet = people[one.psn_no].quiet
        may_wait = one.channel is Channel.SMS and one.kind is not Kind.DEBIT
        if may_wait and quiet is not None and is_quiet(quiet, minute_of(now)):
            assert now < one.not_before < now + timedelta(days=1) + SPREAD
        else:
            assert one.not_before == now
