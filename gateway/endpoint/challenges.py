"""Digest challenges that pjsip as published does not answer: SHA-256 (RFC 8760), and `auth-int` alone (RFC 7616). Pure.

The process is shown a challenge of MD5 with `auth`, whose nonce says what was asked for; its answer is made anew on the way out.
"""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.sip.digest import Algorithm, parse_digest
from gateway.sip.headers import split
from gateway.sip.message import Headers, Request, Response

CHALLENGES = ("WWW-Authenticate", "Proxy-Authenticate")
ANSWERS = ("Authorization", "Proxy-Authorization")
_ASKED = re.compile(r"ht\.(SHA-256|MD5)\.(auth|auth-int|)\.(.*)", re.DOTALL)


def understood(answer: Response) -> Response:
    """With one challenge that pjsip answers: the first of those that can be answered at all."""
    fields = []
    taken = False
    for name, value in answer.headers.fields:
        if name.lower() not in map(str.lower, CHALLENGES):
            fields.append((name, value))
        elif not taken and (shown := _shown(value)):
            fields.append((name, shown))
            taken = True
    return replace(answer, headers=Headers(tuple(fields)))


def answered(request: Request, password: str) -> Request:
    """With the answer that was asked for."""
    fields = tuple(
        (name, _answer(value, request, password) if name in ANSWERS else value)
        for name, value in request.headers.fields
    )
    return replace(request, headers=Headers(fields))


def _shown(challenge: str) -> str | None:
    """A challenge as pjsip is shown it; None where nobody here can answer it."""
    asked = parse_digest(challenge)
    if asked is None or not asked.get("nonce") or '"' in asked.get("realm", ""):
        return None
    name = asked.get("algorithm", "MD5").upper()
    offered = {each.lower() for each in split(asked.get("qop", ""), ",") if each}
    qop = next((each for each in ("auth", "auth-int") if each in offered), "")
    if name not in set(Algorithm) or (offered and not qop):
        return None
    nonce = (
        asked["nonce"]
        if (name, qop) in (("MD5", "auth"), ("MD5", ""))
        else f"ht.{name}.{qop}.{asked['nonce']}"
    )
    parts = {"realm": asked.get("realm", ""), "nonce": nonce}
    if "opaque" in asked:
        parts["opaque"] = asked["opaque"]
    if qop:
        parts["qop"] = "auth"
    stale = ", stale=true" if asked.get("stale", "").lower() == "true" else ""
    return (
        "Digest " + ", ".join(f'{key}="{value}"' for key, value in parts.items()) + f", algorithm=MD5{stale}"
    )


def _answer(value: str, request: Request, password: str) -> str:
    given = parse_digest(value)
    found = _ASKED.fullmatch(given.get("nonce", "")) if given else None
    if given is None or found is None:
        return value
    algorithm, qop, nonce = Algorithm(found[1]), found[2], found[3]
    secret = algorithm.digest(f"{given.get('username', '')}:{given.get('realm', '')}:{password}")
    what = f"{request.method}:{given.get('uri', '')}"
    if qop == "auth-int":
        what += f":{algorithm.digest(request.body.decode('utf-8', 'surrogateescape'))}"
    counted = f"{given.get('nc', '')}:{given.get('cnonce', '')}:{qop}:" if qop else ""
    response = algorithm.digest(f"{secret}:{nonce}:{counted}{algorithm.digest(what)}")
    parts = {
        "username": given.get("username", ""),
        "realm": given.get("realm", ""),
        "nonce": nonce,
        "uri": given.get("uri", ""),
    }
    parts |= {"response": response} | ({"opaque": given["opaque"]} if given.get("opaque") else {})
    tail = f', qop={qop}, nc={given.get("nc", "")}, cnonce="{given.get("cnonce", "")}"' if qop else ""
    return (
        "Digest "
        + ", ".join(f'{key}="{text}"' for key, text in parts.items())
        + f", algorithm={algorithm}{tail}"
    )
