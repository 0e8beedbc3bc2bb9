"""The one form of each address, what is none, and how little of it is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.domain.addresses import masked, normalised
from notify.domain.channels import OUTSIDE, Channel

MESSENGERS = [Channel.WECOM, Channel.DINGTALK, Channel.FEISHU]
TOKENS = st.text("abcXYZ019_-", min_size=8, max_size=128)


@pytest.mark.parametrize(
    "text",
    ["13812345678", "138 1234 5678", "138-1234-5678", "+86 138 1234 5678", "8613812345678", "+8613812345678"],
)
def test_a_telephone_has_one_form_however_it_is_spelled(text: str) -> None:
    assert normalised(Channel.SMS, text) == "13812345678"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1381234567",
        "138123456789",
        "12812345678",
        "23812345678",
        "010-12345678",
        "+852 5123 4567",
        "+1 202 555 0100",
        "008613812345678",
        "+868613812345678",
        "++8613812345678",
        "13812345678\n",
        "13812345678;ext=1",
        "１３８１２３４５６７８",
        "١٣٨١٢٣٤٥٦٧٨",
        "tel:13812345678",
    ],
)
def test_what_is_no_mobile_number_of_the_mainland_is_no_telephone(text: str) -> None:
    assert normalised(Channel.SMS, text) is None


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("zhang.san@example.com", "zhang.san@example.com"),
        ("Zhang.San@Example.COM", "Zhang.San@example.com"),
        ("a+b@mail.xj.example.cn", "a+b@mail.xj.example.cn"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("1@1.cn", "1@1.cn"),
    ],
)
def test_a_mailbox_keeps_its_name_and_its_host_is_in_small_letters(text: str, form: str) -> None:
    assert normalised(Channel.EMAIL, text) == form


@pytest.mark.parametrize(
    "text",
    [
        "",
        "zhang",
        "zhang@",
        "@example.com",
        "zhang@example",
        "zhang@-example.com",
        "zhang@example-.com",
        "zhang@example..com",
        ".zhang@example.com",
        "zhang.@example.com",
        "zh..ang@example.com",
        "zhang@san@example.com",
        "zhang san@example.com",
        "zhang@example.com\r\nBcc: all@example.com",
        "zhang@example.com\n",
        "zhang@example.com,li@example.com",
        "<zhang@example.com>",
        '"zhang"@example.com',
        "zhang@[127.0.0.1]",
        "zhang@127.0.0.1",
        "张三@example.com",
        "zhang@例子.中国",
        "zhang@example.c",
        f"{'a' * 65}@example.com",
        f"{'a' * 60}@{'b' * 63}.{'c' * 63}.{'d' * 63}.com",
    ],
)
def test_what_is_no_mailbox_or_could_be_more_than_one_is_none(text: str) -> None:
    assert normalised(Channel.EMAIL, text) is None


@pytest.mark.parametrize("text", ["a" * 16, "dX_1:APA91bH-0=", "p6Mcq/+2sd~.kd==", "a" * 512])
def test_a_device_has_a_token(text: str) -> None:
    assert normalised(Channel.PUSH, text) == (text if len(text) >= 16 else None)


@pytest.mark.parametrize(
    "text", ["", "a" * 15, "a" * 513, "a" * 15 + " ", "a" * 15 + "\n", "a" * 15 + "中", "a" * 15 + "?"]
)
def test_what_no_device_has_is_no_token(text: str) -> None:
    assert normalised(Channel.PUSH, text) is None


@pytest.mark.parametrize("channel", MESSENGERS)
@given(token=TOKENS, secret=TOKENS)
def test_a_robot_has_a_token_and_may_have_a_secret(channel: Channel, token: str, secret: str) -> None:
    assert normalised(channel, token) == token
    assert normalised(channel, f"{token}:{secret}") == f"{token}:{secret}"


@pytest.mark.parametrize("channel", MESSENGERS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        "a" * 129,
        "token-token:",
        ":secret-secret",
        "token-token:secret-secret:more-more",
        "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=token-token",
        "../token-token",
        "token-token&key=other",
        "token-token\n",
        "token token",
    ],
)
def test_a_robots_address_is_no_url_and_cannot_change_one(channel: Channel, text: str) -> None:
    assert normalised(channel, text) is None


@given(st.text(max_size=40))
def test_the_inbox_has_no_address(text: str) -> None:
    assert normalised(Channel.INBOX, text) is None


@pytest.mark.parametrize("channel", sorted(OUTSIDE, key=str))
@given(text=st.text(max_size=40) | st.text("1234567890abz@.:-_+ ", max_size=40))
def test_the_one_form_is_its_own_form_and_breaks_no_line(channel: Channel, text: str) -> None:
    form = normalised(channel, text)
    if form is not None:
        assert normalised(channel, form) == form
        assert form.isascii()
        assert form.isprintable()
        assert " " not in form


@pytest.mark.parametrize(
    ("channel", "address", "shown"),
    [
        (Channel.SMS, "13812345678", "*******5678"),
        (Channel.EMAIL, "zhang.san@example.com", "z***@example.com"),
        (Channel.EMAIL, "z@example.com", "z***@example.com"),
        (Channel.PUSH, "dX1:APA91bHabcdefgh", "****efgh"),
        (Channel.FEISHU, "abcdefgh-1234", "****1234"),
        (Channel.DINGTALK, "abcdefgh-1234:SECRET-SECRET", "****1234"),
    ],
)
def test_an_owner_knows_a_masked_address_again_and_nobody_can_use_it(
    channel: Channel, address: str, shown: str
) -> None:
    assert normalised(channel, address) == address
    assert masked(channel, address) == shown
