"""Who calls, as the practice's phone is shown it: the forwarder tells the process, which calls the phone, by a field of ours. Pure."""

from __future__ import annotations

import re

from gateway.sip.errors import BadMessage
from gateway.sip.headers import NameAddr, SipUri
from gateway.sip.message import Request
from gateway.tap.parties import caller_of

FIELD = "X-HushTap-Caller"
MAX_SHOWN = 80  # characters; displays have fewer
NUMBER = re.compile(r"[\w.+*!~-]{1,64}", re.ASCII)
NAME, NOWHERE = "name", "nowhere"


def caller_field(invite: Request) -> list[tuple[str, str]]:
    """Whom the trunk vouches for; nothing, where the caller asks for privacy."""
    caller = caller_of(invite)
    number = caller.user.reveal() if caller.user else ""
    if not NUMBER.fullmatch(number):
        return []
    name = re.sub(r"[^\w .,'+()-]", " ", caller.name.reveal()) if caller.name else ""
    return [(FIELD, str(NameAddr(f"sip:{number}@caller.invalid", " ".join(name.split())[:MAX_SHOWN])))]


def caller_in(invite: str) -> str:
    """The field's value in a message that the forwarder sent; empty: nobody is told of."""
    found = re.search(rf"^{FIELD}:[ \t]*(.*?)\r?$", invite, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def shown(who: str, identity: str, where: str) -> str:
    """From of the call to the practice's phone; `identity` is the account's address."""
    if not who or where == NOWHERE:
        return identity
    try:
        caller, account = NameAddr.parse(who), SipUri.parse(identity)
        number = SipUri.parse(caller.uri).user or ""
    except BadMessage:
        return identity
    if where == NAME:
        text = f"{number} {caller.display}".strip()
        return str(NameAddr(identity, text[:MAX_SHOWN]))
    port = f":{account.port}" if account.port else ""
    return str(NameAddr(f"sip:{number}@{account.host}{port}", caller.display))
