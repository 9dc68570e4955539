import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.errors import BadMessage
from gateway.sip.headers import CSeq, NameAddr, SipUri, Via


def test_via_is_stamped_with_where_it_came_from() -> None:
    via = Via.parse("SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;branch=z9hG4bKa7c6a8dlze.1;rport")
    assert (via.host, via.port, via.branch) == ("first.example.com", 4000, "z9hG4bKa7c6a8dlze.1")
    stamped = via.stamped(("192.0.2.9", 40000))
    assert str(stamped) == (
        "SIP/2.0/UDP first.example.com:4000;ttl=16;branch=z9hG4bKa7c6a8dlze.1;rport=40000;received=192.0.2.9"
    )
    assert stamped.reply_to(("192.0.2.9", 40000)) == ("192.0.2.9", 40000)


def test_without_rport_the_answer_goes_to_the_port_the_via_names() -> None:
    via = Via.parse("SIP/2.0/UDP 192.0.2.9;branch=x;received=10.0.0.1")
    assert str(via.stamped(("192.0.2.9", 40000))) == "SIP/2.0/UDP 192.0.2.9;branch=x"
    assert via.reply_to(("192.0.2.9", 40000)) == ("192.0.2.9", 5060)
    assert Via.parse("SIP/2.0/TCP [2001:db8::9]:5070").port == 5070


def test_no_answer_goes_to_a_port_that_does_not_exist() -> None:
    assert Via.parse("SIP/2.0/UDP 192.0.2.9:65535;branch=x").port == 65535
    with pytest.raises(BadMessage):
        Via.parse("SIP/2.0/UDP 192.0.2.9:65536;branch=x")


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ('"A \\"B\\" <c>" <sip:a@h;lr>;tag=7', 'A "B" <c>', "sip:a@h;lr", "7"),
        ("sip:+12125551212@phone2net.com;tag=887s", "", "sip:+12125551212@phone2net.com", "887s"),
        ("Anonymous Caller <sip:c8oqz84zk7z@privacy.org>;tag=hyh8", "Anonymous Caller", "sip:c8oqz84zk7z@privacy.org", "hyh8"),
        ("<tel:+39-06>", "", "tel:+39-06", None),
        ('"x"<sip:a b@h>', "x", "sip:a b@h", None),
    ],
)  # fmt: skip
def test_name_addr(text: str, display: str, uri: str, tag: str | None) -> None:
    address = NameAddr.parse(text)
    assert (address.display, address.uri, address.tag) == (display, uri, tag)
    assert NameAddr.parse(str(address)) == address


@pytest.mark.parametrize("text", ["", "<>", "<sip:a", '"unclosed', '"q"', '"q" sip:a@b'])
def test_unreadable_address(text: str) -> None:
    with pytest.raises(BadMessage):
        NameAddr.parse(text)


def test_uri() -> None:
    uri = SipUri.parse("sip:alice:secret@[2001:db8::1]:5070;transport=TCP;lr?subject=x")
    assert (uri.user, uri.host, uri.port, uri.loose) == ("alice", "[2001:db8::1]", 5070, True)
    assert str(uri) == "sip:alice@[2001:db8::1]:5070;transport=TCP;lr"
    assert SipUri.parse("SIPS:host").scheme == "sips"
    for bad in ("tel:1", "sip:", "sip:a@h:99999", "sip:a@@"):
        with pytest.raises(BadMessage):
            SipUri.parse(bad)


@given(st.text(max_size=60))
def test_text_raises_only_bad_message(text: str) -> None:
    for parse in (Via.parse, NameAddr.parse, SipUri.parse, CSeq.parse):
        try:
            value = parse(text)
        except BadMessage:
            continue
        assert parse(str(value)) == parse(str(parse(str(value))))
