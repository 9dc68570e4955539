"""Log and metrics tell of calls, and nothing of the people on them, at whatever level and in either form."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import httpx
import pytest

from gateway.demo.client import Digit
from tests.end_to_end import callers
from tests.end_to_end.client import Client, Voice, both, metadata, sdp
from tests.end_to_end.gateway import Gateway, Json
from tests.patience import PATIENCE_SECONDS
from tests.ports import HOST

CALLER, AGENT, EXTENSION = "+15550008642", "Zacharias Quillfeather", "617531"
KEYS = "86429753"  # pressed as events (RFC 4733) and as INFO; no four in a row may be found
HEADERS = ("Jemima Thistlewood", "99887766554", "secret-subject-text", "X-Account-Pin")
REASON = "complaint of Mrs Underbough"
PEOPLE = ("Odalys Fenwright", "4407700900123")  # in metadata that nobody can read
ROOT_AND_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Told:
    """What a gateway said while calls ran, and the calls."""

    form: str
    log: str
    metrics: str
    calls: list[Json]


@pytest.fixture(scope="module", params=["text", "json"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    form: str = request.param
    settings: dict[str, dict[str, object]] = {
        "log": {"level": "debug", "format": form},
        "media": {"hold_back_seconds": 1.0, "timeout_seconds": 5},
        "redaction": {"look_back_seconds": 0.5},
    }
    with Gateway(tmp_path_factory.mktemp(form), settings) as gateway:
        token = gateway.run("agents", "add", "Desk", "--extension", EXTENSION).out.strip()
        asyncio.run(by_the_client(gateway, token))
        by_hand(gateway)
        gateway.wait_idle(40)
        metrics = gateway.scrape()
        calls = gateway.calls()
        assert gateway.terminate() == 0
        yield Told(form, gateway.log.read_text(encoding="utf-8"), metrics, calls)


async def shows(http: httpx.AsyncClient, status: int) -> None:
    """Wait until that is the answer to how the agent's extension stands."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await http.get(f"/v1/extensions/{EXTENSION}")).status_code != status:
            await asyncio.sleep(0.1)


async def by_the_client(gateway: Gateway, token: str) -> None:
    """A whole call with names, numbers and keys, paused by its agent with a reason."""
    plan = callers.call(1, 5.0)
    keys = tuple(Digit(0.5 + 0.3 * place, key) for place, key in enumerate(KEYS))
    plan = replace(
        plan,
        caller=replace(plan.caller, party=replace(plan.caller.party, number=CALLER), digits=keys),
        callee=replace(plan.callee, party=replace(plan.callee.party, number=EXTENSION, name=AGENT)),
    )
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=gateway.api, headers=headers, timeout=20) as http:
        await shows(http, 404)  # the token is known before the call, which does not wait for it
        calling = asyncio.create_task(callers.place_all([plan], gateway.server))
        await shows(http, 200)
        for action in ("pause", "resume"):
            await http.post(f"/v1/extensions/{EXTENSION}/{action}", json={"reason": REASON})
    await calling


def by_hand(gateway: Gateway) -> None:
    """Calls with odd headers, keys by INFO, metadata that cannot be read, and one with no audio at all."""
    extra = f'Subject: {HEADERS[2]}\r\n{HEADERS[3]}: {HEADERS[1]}\r\nP-Asserted-Identity: "{HEADERS[0]}" <tel:{HEADERS[1]}>\r\n'
    caller = f'"{HEADERS[0]}" <sip:{HEADERS[1]}@example.com>'
    voices = [Voice(1), Voice(2)]
    with Client(gateway.server, "hand", caller) as client:
        people = metadata([("c", CALLER, "1"), ("a", EXTENSION, "2")])
        answer = client.invite(*both(sdp("12"), people), extra=extra)
        for voice, port in zip(voices, answer.ports, strict=True):
            voice.target = (HOST, port)
        client.speak(0.5, *voices)
        for key in KEYS:
            client.request("INFO", f"Signal={key}\r\nDuration=60\r\n".encode(), "application/dtmf-relay")
        client.request("BYE", extra=f"Reason: SIP;text={HEADERS[2]}\r\n")
    broken = f"<recording><participant><name>{PEOPLE[0]}</name><nameID aor='tel:{PEOPLE[1]}'".encode()
    with Client(gateway.server, "broken", caller) as client:
        client.invite(*both(sdp("12"), broken))
        client.request("BYE")
    offer = sdp("12", session=f"s={PEOPLE[0]}\r\ni={PEOPLE[1]}\r\ne=x@y ({PEOPLE[0]})\r\np={PEOPLE[1]}\r\n")
    with Client(gateway.server, "silent", caller) as client:
        client.invite(offer)
        client.request("BYE")


def secrets() -> set[str]:
    runs = {"".join(KEYS[at : at + 4]) for at in range(len(KEYS) - 3)}
    alone = {f"{one}, {other}" for one, other in pairwise(KEYS)} | {f"Signal={key}" for key in KEYS}
    numbers = {CALLER.lstrip("+"), EXTENSION, HEADERS[1], PEOPLE[1]}
    return runs | alone | numbers | {*AGENT.split(), *HEADERS, REASON, *PEOPLE, "example.com"}


def test_calls_ran(told: Told) -> None:
    assert len(told.calls) == 4
    states = [call["state"] for call in told.calls]
    assert states.count("not_recorded") == 2
    assert 'hushtap_masked_keys_total{way="info"}' in told.metrics
    assert 'hushtap_masked_keys_total{way="rfc4733"} 0.0' not in told.metrics


@pytest.mark.parametrize("secret", sorted(secrets()))
def test_nobody_is_told_of(told: Told, secret: str) -> None:
    without_ids = ROOT_AND_UUID.sub("", told.log)
    assert secret.lower() not in without_ids.lower()
    labels = "\n".join(re.findall(r"\{.*?\}", told.metrics))
    assert secret.lower() not in labels.lower()


def test_every_call_is_told_of_by_its_id(told: Told) -> None:
    for call in told.calls:
        assert f"call {call['id']} ended" in told.log


def test_no_label_is_a_call(told: Told) -> None:
    assert not ROOT_AND_UUID.search(told.metrics)


def test_every_line_is_an_object_where_that_is_asked_for(told: Told) -> None:
    lines = told.log.splitlines()
    if told.form == "text":
        assert all(
            re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ gateway\S*: ", line) for line in lines
        )
        return
    found = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in found)
    ended = {line["call"] for line in found if " ended " in line["message"]}
    assert ended == {call["id"] for call in told.calls}
