"""Calls through the endpoint on a trunk are recorded: both legs, without the keys, and marked that the notice was heard."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.end_to_end import judge
from tests.end_to_end.gateway import Gateway, Json, until
from tests.endpoint.phone import HOST, Phone
from tests.endpoint.sounds import decode, noise, similarity
from tests.endpoint.trunk import NEEDS_PJSUA, NOTICE, NOTICE_SECONDS, write_wav
from tests.patience import PATIENCE_SECONDS
from tests.ports import free_port, free_range

pytestmark = NEEDS_PJSUA
TALK_SECONDS = 1.0
BEFORE, NUMBER = 3.0, "+15550100123"


class EndpointGateway(Gateway):
    """With an endpoint whose practice is one phone."""

    def __init__(self, folder: Path, phone: int) -> None:
        super().__init__(folder)
        self.trunk = HOST, free_port()
        notice = write_wav(folder / "notice.wav", NOTICE)
        with self.config.open("a", encoding="utf-8") as file:
            file.write(
                f'\n[[attach]]\nkind = "endpoint"\nregistrar = "localhost"\nregister_here = false\n'
                f'user = "practice"\naddress = "{HOST}"\nport = {self.trunk[1]}\nnotice = "{notice.name}"\n'
                f'destination = "sip:201@{HOST}:{phone}"\ncalls = 2\nfirst_rtp_port = {free_range(32)}\n'
            )


@dataclass(frozen=True, slots=True)
class Evening:
    gateway: EndpointGateway
    phone: Phone
    caller: Phone
    call: Json
    abandoned: Json

    def legs(self) -> dict[str, judge.Octets]:
        (recording,) = self.call["recordings"]
        return judge.legs(judge.plaintexts(self.gateway.storage, recording))


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    port, folder = free_port(), tmp_path_factory.mktemp("endpoint")
    with EndpointGateway(folder, port) as gateway:
        phone, caller = asyncio.run(_talk(gateway, port))
        until("both calls are over", lambda: gateway.metric("hushtap_calls_total") == 2, 30.0)
        gateway.wait_idle()
        first, second = gateway.calls()
        yield Evening(gateway, phone, caller, first, second)
        assert gateway.terminate() == 0


async def _talk(gateway: EndpointGateway, port: int) -> tuple[Phone, Phone]:
    """One call with keys both ways, and one whose caller hangs up within the notice."""
    phone = await Phone(sound=noise(41, BEFORE), port=port).open()
    caller = await Phone(sound=noise(42, BEFORE), number=NUMBER).open()
    caller.call(gateway.trunk)
    await phone.requested("ACK")
    await asyncio.sleep(TALK_SECONDS)
    caller.press("7")
    await phone.until(lambda: phone.pressed() == ["7"], "the phone did not hear the key")
    caller.info("4")
    await phone.requested("INFO")
    await asyncio.sleep(0.5)
    caller.request("BYE")
    await phone.requested("BYE")
    impatient = await Phone(number=NUMBER).open()
    impatient.call(gateway.trunk)
    await impatient.response("INVITE")
    impatient.request("BYE")
    await impatient.response("BYE")
    for each in (phone, caller, impatient):
        await each.close()
    return phone, caller


def _samples(octets: judge.Octets) -> NDArray[np.float64]:
    """What there is of a leg, closed up."""
    heard = octets[octets != judge.NOTHING]
    return decode(heard.astype(np.uint8).tobytes())


def test_both_legs_are_recorded(evening: Evening) -> None:
    legs = evening.legs()
    for role, speaker in (("external", evening.caller), ("agent", evening.phone)):
        stored = _samples(legs[role])
        said = decode(speaker.sound)
        assert any(
            similarity(stored, said[at : at + 4000])[0] > 0.99 for at in range(0, len(said) - 4000, 4000)
        )


def test_nothing_is_kept_of_what_the_notice_was_played_over(evening: Evening) -> None:
    assert len(_samples(evening.legs()["external"])) < (TALK_SECONDS + 1.5) * 8000
    assert similarity(_samples(evening.legs()["external"]), decode(NOTICE))[0] < 0.5


def test_the_call_is_marked_with_the_end_of_the_notice(evening: Evening) -> None:
    (marker,) = evening.call["markers"]
    assert marker["kind"] == "notice"
    answered = int(np.flatnonzero(evening.legs()["agent"] != judge.NOTHING)[0]) / 8000
    assert 0 < marker["at"] <= answered < NOTICE_SECONDS + PATIENCE_SECONDS
    assert evening.gateway.metric("hushtap_endpoint_notices_total", outcome="whole") == 1


def test_the_call_counts_as_announced(evening: Evening) -> None:
    until(
        "the ended call is measured",
        lambda: evening.gateway.metric("hushtap_announced_calls_total", outcome="announced") == 1,
        PATIENCE_SECONDS,
    )
    (announcement,) = [call["announcement"] for call in evening.gateway.calls() if call["announcement"]]
    assert announcement["state"] == "announced"


def test_keys_are_masked_and_told_nowhere(evening: Evening) -> None:
    assert evening.gateway.metric("hushtap_masked_keys_total", way="rfc4733") == 1
    assert evening.gateway.metric("hushtap_masked_keys_total", way="info") == 1
    assert evening.gateway.metric("hushtap_endpoint_relayed_keys_total", outcome="passed") == 2
    assert "Signal" not in evening.gateway.log.read_text()


def test_the_caller_and_who_answered_are_known_by_their_numbers_and_the_phone_is_shown_who_calls(
    evening: Evening,
) -> None:
    assert {p["number"] for p in evening.call["participants"]} == {NUMBER, "201"}
    assert f'"{NUMBER}"' in next(m.get("From") for m in evening.phone.heard if m.method == "INVITE")
    assert evening.call["direction"] == "inbound"


def test_a_call_that_ends_within_the_notice_is_told_and_not_recorded(evening: Evening) -> None:
    assert evening.abandoned["state"] == "not_recorded"
    assert evening.abandoned["reason"] == "the caller hung up before the practice answered"


def test_what_is_stored_is_whole(evening: Evening) -> None:
    assert all(verdict["ok"] for verdict in evening.gateway.verify())


def test_the_log_tells_no_number(evening: Evening) -> None:
    assert NUMBER not in evening.gateway.log.read_text()


def test_a_call_that_is_handed_on_has_a_recording_for_each_who_took_it(tmp_path: Path) -> None:
    port = free_port()

    async def work(gateway: EndpointGateway) -> Phone:
        phone = await Phone(sound=noise(41, BEFORE), port=port).open()
        other = await Phone(sound=noise(43, BEFORE)).open()
        caller = await Phone(sound=noise(42, BEFORE), number=NUMBER).open()
        caller.call(gateway.trunk)
        await phone.requested("ACK")
        await asyncio.sleep(TALK_SECONDS)
        phone.refer_to = f"<sip:202@{HOST}:{other.port}>"
        phone.request("REFER")
        await phone.requested("BYE")
        await other.requested("ACK")
        await asyncio.sleep(2 * TALK_SECONDS)
        caller.request("BYE")
        await other.requested("BYE")
        for each in (phone, other, caller):
            await each.close()
        return other

    with EndpointGateway(tmp_path, port) as gateway:
        other = asyncio.run(work(gateway))
        until("the call is over", lambda: gateway.metric("hushtap_calls_total") == 1, PATIENCE_SECONDS)
        gateway.wait_idle()
        (call,) = gateway.calls()
        assert {p["number"] for p in call["participants"]} >= {NUMBER, "202"}
        first, second = call["recordings"]
        stored = _samples(judge.legs(judge.plaintexts(gateway.storage, second))["agent"])
        said = decode(other.sound)
        assert any(
            similarity(stored, said[at : at + 4000])[0] > 0.99 for at in range(0, len(said) - 4000, 4000)
        )
        assert len(_samples(judge.legs(judge.plaintexts(gateway.storage, first))["agent"])) > 4000
        assert [each["kind"] for each in call["markers"]] == ["notice"]
        assert all(verdict["ok"] for verdict in gateway.verify())
        assert gateway.terminate() == 0


def test_both_sides_are_let_go_when_the_gateway_is_killed(tmp_path: Path) -> None:
    port = free_port()

    async def work(gateway: EndpointGateway) -> None:
        phone, caller = await Phone(port=port).open(), await Phone(number=NUMBER).open()
        caller.call(gateway.trunk)
        await phone.requested("ACK")
        os.kill(gateway.pid, signal.SIGKILL)  # and its processes live on
        for each in (phone, caller):
            await each.requested("BYE")
            await each.close()

    with EndpointGateway(tmp_path, port) as gateway:
        asyncio.run(work(gateway))
