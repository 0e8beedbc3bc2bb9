"""What people choose, and who may ask and change it: through the contract's messages, in memory."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from gongji.notify.v1 import contact_pb2 as pb
from gongji.notify.v1 import notice_pb2
from kit.auth import Assertion, Principal, uncovered
from kit.errors import InvalidFields, Refusal
from kit.grpc_server import methods_of
from notify.access import ACCESS, CONTACT_SERVICE
from notify.contacts.codec import kind_to_proto
from notify.domain.channels import Channel
from notify.domain.kinds import REQUIRED, Kind
from notify.domain.preferences import NoticeRequired
from notify.testing_contacts import LATER, PHONE, SMS, Desk, called_by

WRITES = ["AddContact", "VerifyContact", "RemoveContact", "SetPreference", "SetSettings"]
READS = ["ListContacts", "GetPreferences"]


async def test_everything_is_wanted_until_it_is_switched_off() -> None:
    shown = (await Desk().preferences()).preferences
    assert len(shown) == len(Kind) * len(Channel)
    assert all(one.is_wanted for one in shown)
    fixed = {one.kind for one in shown if one.is_fixed}
    assert fixed == {kind_to_proto(kind) for kind in REQUIRED}
    assert {one.channel for one in shown if one.is_fixed} == {notice_pb2.CHANNEL_INBOX}


async def test_a_choice_is_kept_and_can_be_taken_back() -> None:
    desk = Desk()
    off = await desk.prefer(Kind.CREDIT, Channel.SMS, is_wanted=False)
    assert not off.is_wanted
    assert [one for one in (await desk.preferences()).preferences if not one.is_wanted] == [off]
    await desk.prefer(Kind.CREDIT, Channel.SMS, is_wanted=True)
    assert all(one.is_wanted for one in (await desk.preferences()).preferences)


@pytest.mark.parametrize("kind", sorted(REQUIRED, key=str))
async def test_nobody_switches_off_what_the_rules_require_in_the_inbox(kind: Kind) -> None:
    desk = Desk()
    with pytest.raises(NoticeRequired):
        await desk.prefer(kind, Channel.INBOX, is_wanted=False)
    assert (await desk.prefer(kind, Channel.INBOX, is_wanted=True)).is_fixed
    assert not (await desk.prefer(kind, Channel.SMS, is_wanted=False)).is_wanted


async def test_at_first_a_person_reads_chinese_and_sleeps_from_ten_to_eight() -> None:
    answer = await Desk().preferences()
    assert answer.settings.language == "zh-CN"
    assert (answer.settings.quiet_hours.from_minute, answer.settings.quiet_hours.until_minute) == (22 * 60, 8 * 60)
    assert list(answer.languages) == ["en", "zh-CN"]


async def test_language_and_quiet_hours_are_changed_apart() -> None:
    desk = Desk()
    await desk.settle(language="en")
    settled = await desk.settle(quiet_hours=pb.QuietHours(from_minute=1439, until_minute=0))
    assert (settled.language, settled.quiet_hours.from_minute, settled.quiet_hours.until_minute) == ("en", 1439, 0)
    settled = await desk.settle(language="zh-CN")
    assert (settled.language, settled.quiet_hours.from_minute) == ("zh-CN", 1439)
    settled = await desk.settle(no_quiet_hours=True)
    assert not settled.HasField("quiet_hours")
    assert await desk.settle() == settled
    assert (await desk.preferences()).settings == settled


async def test_a_language_without_texts_is_refused() -> None:
    desk = Desk()
    with pytest.raises(InvalidFields, match="en, zh-CN"):
        await desk.settle(language="fr")
    assert (await desk.preferences()).settings.language == "zh-CN"


def test_every_method_is_in_the_access_table() -> None:
    assert uncovered(methods_of(CONTACT_SERVICE), ACCESS) == set()
    assert {path.rsplit("/", 1)[1] for path in methods_of(CONTACT_SERVICE)} == {*WRITES, *READS}


@pytest.mark.parametrize("method", [*WRITES, *READS])
@pytest.mark.parametrize("role", ["handler", "decider", "operator", "auditor"])
def test_clerks_change_nothing_and_only_auditors_look(method: str, role: str) -> None:
    access = ACCESS[f"/{CONTACT_SERVICE}/{method}"]
    clerk = Assertion("clerk:wang", frozenset({role}), None, "issuer", "jti", LATER)
    if role == "auditor" and method in READS:
        access.check(Principal("service", "portal"), clerk)
        return
    with pytest.raises(Refusal, match="may not call"):
        access.check(Principal("service", "portal"), clerk)


@pytest.mark.parametrize("method", [*WRITES, *READS])
@pytest.mark.parametrize(
    "principal",
    [Principal("institution", "H65270100001"), Principal("service", "operator"), Principal("service", "settlement")],
)
def test_nobody_but_people_through_the_portal_may_call(method: str, principal: Principal) -> None:
    with pytest.raises(Refusal):
        ACCESS[f"/{CONTACT_SERVICE}/{method}"].check(principal, None)


REQUESTS: dict[str, Callable[[], object]] = {
    "AddContact": lambda: pb.AddContactRequest(psn_no="1001", channel=SMS, address=PHONE),
    "VerifyContact": lambda: pb.VerifyContactRequest(psn_no="1001", contact_id=str(uuid4()), code="123456"),
    "RemoveContact": lambda: pb.RemoveContactRequest(psn_no="1001", contact_id=str(uuid4())),
    "SetPreference": lambda: pb.SetPreferenceRequest(
        psn_no="1001", kind=notice_pb2.NOTICE_KIND_LIMIT, channel=SMS, is_wanted=False
    ),
    "SetSettings": lambda: pb.SetSettingsRequest(psn_no="1001", language="en"),
    "ListContacts": lambda: pb.ListContactsRequest(psn_no="1001"),
    "GetPreferences": lambda: pb.GetPreferencesRequest(psn_no="1001"),
}


@pytest.mark.parametrize("method", [*WRITES, *READS])
async def test_a_stranger_reaches_nothing_of_a_persons(method: str) -> None:
    desk = Desk()
    called_by("psn:1002")
    with pytest.raises(Refusal) as caught:
        await getattr(desk.servicer, method)(REQUESTS[method](), None)
    assert caught.value.reason == "FORBIDDEN"
    assert "1001" not in str(caught.value)
    assert not any((desk.repository.contacts, desk.repository.preferences, desk.repository.settings))


@pytest.mark.parametrize("method", READS)
async def test_an_auditor_looks_and_leaves_a_trace(method: str) -> None:
    desk = Desk()
    called_by("clerk:zhao", "auditor")
    with capture_logs() as lines:
        await getattr(desk.servicer, method)(REQUESTS[method](), None)
    assert [(line["subject"], line["psn_no"]) for line in lines] == [("clerk:zhao", "1001")]


@pytest.mark.parametrize("method", WRITES)
async def test_an_auditor_writes_nothing_even_where_the_table_would_let_them(method: str) -> None:
    desk = Desk()
    called_by("clerk:zhao", "auditor")
    with pytest.raises(Refusal):
        await getattr(desk.servicer, method)(REQUESTS[method](), None)
