"""Contacts and their codes: what takes whose place, how often a code may be tried and sent, and what may be chosen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from notify.domain.channels import OUTSIDE, Channel
from notify.domain.contacts import (
    CODE_LIFETIME,
    COUNTED_WITHIN,
    MOST_TRIES,
    CodeInvalid,
    CodeWrong,
    Contact,
    ContactCode,
    ContactNotFound,
    ContactState,
    TooManyCodes,
    add,
    find,
    new_code,
    require_bound,
    use,
    verify,
)
from notify.domain.kinds import REQUIRED, Kind
from notify.domain.planning import Recipient
from notify.domain.preferences import NoticeRequired, Preference, choose, preferences_of

NOW = datetime(2025, 6, 10, 2, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RIGHT, WRONG = b"right", b"wrong"


def contact(address: str = "13812345678", channel: Channel = Channel.SMS, **more: object) -> Contact:
    made = Contact(uuid4(), "1001", channel, address, ContactState.UNVERIFIED, NOW)
    return replace(made, **more)  # type: ignore[arg-type]


def verified(address: str = "13812345678", channel: Channel = Channel.SMS) -> Contact:
    return contact(address, channel, state=ContactState.VERIFIED, verified_at=NOW)


def code(**more: object) -> ContactCode:
    made = ContactCode(uuid4(), uuid4(), "1001", RIGHT, NOW, NOW + CODE_LIFETIME)
    return replace(made, **more)  # type: ignore[arg-type]


def test_a_new_address_is_a_new_contact() -> None:
    wanted = contact()
    assert add([], wanted).contact == wanted
    assert add([], wanted).removed == ()


def test_the_same_address_again_is_the_same_contact() -> None:
    known = contact()
    assert add([known], contact()).contact is known
    assert add([verified()], contact()).contact.state is ContactState.VERIFIED


def test_another_address_takes_the_place_of_the_one_that_waits_and_leaves_the_verified_one() -> None:
    waiting, good, mail = contact("13800000001"), verified("13800000002"), contact("a@example.com", Channel.EMAIL)
    change = add([waiting, good, mail], contact("13800000003"))
    assert [(one.contact_id, one.state) for one in change.removed] == [(waiting.contact_id, ContactState.REMOVED)]


def test_asking_again_for_the_verified_address_ends_nothing() -> None:
    assert add([contact("13800000001"), verified("13800000002")], contact("13800000002")).removed == ()


def test_a_verified_contact_takes_the_place_of_the_one_before() -> None:
    before, waiting, mail = verified("13800000001"), contact("13800000002"), verified("a@example.com", Channel.EMAIL)
    change = verify([before, waiting, mail], waiting.contact_id, NOW)
    assert (change.contact.state, change.contact.verified_at) == (ContactState.VERIFIED, NOW)
    assert [one.contact_id for one in change.removed] == [before.contact_id]


def test_of_a_removed_contact_no_address_is_left() -> None:
    assert verified().removed().address == ""
    assert verified().removed().state is ContactState.REMOVED


def test_somebody_elses_contact_is_not_found() -> None:
    with pytest.raises(ContactNotFound):
        find([contact()], uuid4())
    with pytest.raises(ContactNotFound):
        verify([contact()], uuid4(), NOW)


def test_an_address_is_never_printed() -> None:
    assert "13812345678" not in repr(contact())
    assert "right" not in repr(code())


def test_the_right_code_is_good_once() -> None:
    after = use(code(), RIGHT, NOW)
    assert not after.is_open
    with pytest.raises(CodeInvalid):
        use(after, RIGHT, NOW)


def test_a_wrong_code_is_counted_and_says_how_many_tries_are_left() -> None:
    tried = code()
    for left in range(MOST_TRIES - 1, -1, -1):
        with pytest.raises(CodeWrong) as caught:
            use(tried, WRONG, NOW)
        assert caught.value.metadata == {"tries_left": str(left)}
        tried = caught.value.after
    with pytest.raises(CodeInvalid):
        use(tried, RIGHT, NOW)


def test_the_right_code_is_taken_at_the_last_try() -> None:
    assert not use(code(wrong_tries=MOST_TRIES - 1), RIGHT, NOW).is_open


def test_a_code_runs_out_on_the_second() -> None:
    assert not use(code(), RIGHT, NOW + CODE_LIFETIME - SECOND).is_open
    with pytest.raises(CodeInvalid):
        use(code(), RIGHT, NOW + CODE_LIFETIME)


def test_without_a_code_none_can_be_shown() -> None:
    with pytest.raises(CodeInvalid):
        use(None, b"", NOW)


def test_codes_have_six_digits_and_differ() -> None:
    made = {new_code() for _ in range(50)}
    assert all(len(one) == 6 and one.isdigit() and one.isascii() for one in made)
    assert len(made) > 40


@given(st.lists(st.integers(-200_000, 200_000), max_size=12), st.integers(1, 6))
def test_one_more_code_is_sent_while_fewer_than_the_bound_were_within_a_day(ages: list[int], most: int) -> None:
    sent = [NOW - age * SECOND for age in ages]
    recent = [at for at in sent if abs(NOW - at) < COUNTED_WITHIN]
    if len(recent) < most:
        require_bound(sent, most, NOW)
        return
    with pytest.raises(TooManyCodes) as caught:
        require_bound(sent, most, NOW)
    # The lock-out that is told is the true one: then, and no second before, one more is let through.
    until = caught.value.until
    require_bound(recent, most, until)
    with pytest.raises(TooManyCodes):
        require_bound(recent, most, until - SECOND)
    assert int(caught.value.metadata["retry_after_seconds"]) == max(1, (until - NOW) // SECOND)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("channel", Channel)
def test_everything_can_be_chosen_but_to_be_left_in_the_dark(kind: Kind, channel: Channel) -> None:
    assert choose(Preference(kind, channel, is_wanted=True)).is_wanted
    off = Preference(kind, channel, is_wanted=False)
    if kind in REQUIRED and channel is Channel.INBOX:
        with pytest.raises(NoticeRequired):
            choose(off)
    else:
        assert choose(off) is off


@given(st.frozensets(st.tuples(st.sampled_from(Kind), st.sampled_from(Channel))))
def test_what_is_shown_is_what_holds(unwanted: frozenset[tuple[Kind, Channel]]) -> None:
    shown = list(preferences_of(Recipient("1001", unwanted=unwanted)))
    assert len({(one.kind, one.channel) for one in shown}) == len(Kind) * len(Channel)
    for one in shown:
        assert one.is_wanted == (one.is_fixed or (one.kind, one.channel) not in unwanted)


class OnePersonsContacts(RuleBasedStateMachine):
    """Whatever a person does, there is one verified contact and one that waits at most, for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[UUID, Contact] = {}

    def living(self) -> list[Contact]:
        return [one for one in self.kept.values() if one.state is not ContactState.REMOVED]

    @rule(channel=st.sampled_from(sorted(OUTSIDE, key=str)[:2]), address=st.sampled_from(["a", "b", "c"]))
    def adds(self, channel: Channel, address: str) -> None:
        change = add(self.living(), contact(address, channel))
        self.kept |= {one.contact_id: one for one in (*change.removed, change.contact)}

    @rule(place=st.integers(0, 5))
    def verifies(self, place: int) -> None:
        if self.living():
            chosen = self.living()[place % len(self.living())]
            change = verify(self.living(), chosen.contact_id, NOW)
            self.kept |= {one.contact_id: one for one in (*change.removed, change.contact)}
            assert self.kept[chosen.contact_id].state is ContactState.VERIFIED

    @rule(place=st.integers(0, 5))
    def removes(self, place: int) -> None:
        if self.living():
            chosen = self.living()[place % len(self.living())]
            self.kept[chosen.contact_id] = chosen.removed()

    @invariant()
    def one_of_each(self) -> None:
        places = [(one.channel, one.state) for one in self.living()]
        assert len(set(places)) == len(places)
        addresses = [(one.channel, one.address) for one in self.living()]
        assert len(set(addresses)) == len(addresses)


TestOnePersonsContacts = OnePersonsContacts.TestCase
