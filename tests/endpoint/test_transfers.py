"""The practice's telephone hands a call on: to another telephone, or to whom it has spoken with before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.endpoint.messages import Bridged, Cause, Described, Dialling, Over, Side
from gateway.endpoint.referring import Referring
from gateway.sip.errors import BadMessage
from gateway.sip.message import Headers, Request
from tests.endpoint.phone import HOST, Phone, said_by
from tests.endpoint.sounds import noise
from tests.endpoint.trunk import NEEDS_PJSUA, caller, run, trunk

HEARD_SECONDS = 0.8
OWN = {"registrar": "localhost"}  # the telephone is not on the trunk
SYSTEM = Referring(
    "192.0.2.20:5066", ("192.0.2.1", 5070), ";transport=tcp", lambda host: host == "192.0.2.30"
)


def refer(to: str) -> Request:
    return Request("REFER", "sip:x@y", Headers((("Refer-To", to),)))


@pytest.mark.parametrize(
    ("to", "target"),
    [
        ("<sip:202@192.0.2.1:5070>", "sip:202@192.0.2.20:5066;transport=tcp"),
        ("sip:202@192.0.2.20", "sip:202@192.0.2.20:5066;transport=tcp"),
        ("<sip:202@192.0.2.20:5099;user=phone>", "sip:202@192.0.2.20:5099"),
        ("<sip:+49221#1@192.0.2.1>", "sip:+49221%231@192.0.2.20:5066;transport=tcp"),
        ("<tel:202>", "sip:202@192.0.2.20:5066;transport=tcp"),
        ("<sip:202@192.0.2.30>", "sip:202@192.0.2.30"),
        ("<sip:202@192.0.2.1?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2&X=y>", "sip:202@192.0.2.20:5066;transport=tcp?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2"),
    ],
)  # fmt: skip
def test_a_call_is_handed_on_within_the_telephone_system(to: str, target: str) -> None:
    assert SYSTEM.target(refer(to)) == target


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("<sip:0900123456@trunk.example>", 403), ("<sip:192.0.2.20>", 400), ("<sips:202@192.0.2.20>", 400), ("<sip:a b@192.0.2.20>", 400),
        ("<sip:202@192.0.2.20;method=BYE>", 400), ("<sip:202@192.0.2.20?Replaces=a\r\nb>", 400), ("<mailto:a@b>", 400),
    ],
)  # fmt: skip
def test_elsewhere_and_in_other_ways_it_is_not(to: str, status: int) -> None:
    with pytest.raises(BadMessage) as error:
        SYSTEM.target(refer(to))
    assert error.value.status == status


def hand_on(phone: Phone, target: str) -> None:
    phone.refer_to = f"<{target}>"
    phone.request("REFER")


@NEEDS_PJSUA
@pytest.mark.parametrize("held", [False, True])
def test_the_caller_is_handed_to_another_telephone(tmp_path: Path, held: bool) -> None:
    async def work() -> None:
        async with trunk(tmp_path, changes=OWN) as line:
            one, other = await caller(), await Phone(sound=noise(8, 2.0)).open()
            call = one.call(line.server)
            await line.message(Bridged, call)
            if held:
                line.phone.reinvite("sendonly")
                await one.requested("INVITE")
                await line.until(lambda: any(m.held for m in line.of(Described, call)), "no hold told")
            hand_on(line.phone, f"sip:202@{HOST}:{other.port}")
            assert (await line.phone.response("REFER")).status == 202
            notified = await line.phone.requested("NOTIFY")
            assert (notified.body, notified.get("Event")) == ("SIP/2.0 200 OK\r\n", "refer")
            bye = await line.phone.requested("BYE")
            assert int(bye.get("CSeq").split()[0]) == int(notified.get("CSeq").split()[0]) + 1
            await line.until(lambda: len(line.of(Bridged, call)) == 2, "not connected")
            if held:
                await one.until(
                    lambda: [m for m in one.heard if m.method == "INVITE"][-1].direction == "sendrecv",
                    "still held",
                )
            for each in (one, other):
                each.packets.clear()
            await asyncio.sleep(HEARD_SECONDS)
            assert said_by(other, one.audio())
            assert said_by(one, other.audio())
            assert [m.target for m in line.of(Dialling, call)] == [
                f"sip:100@{HOST}:{line.phone.port}",
                f"sip:202@{HOST}:{other.port}",
            ]
            other.request("BYE")
            await one.requested("BYE")
            assert (await line.message(Over, call)).cause is Cause.CALLEE_BYE
            for each in (one, other):
                await each.close()

    run(work())


@NEEDS_PJSUA
@pytest.mark.parametrize("status", [486, 180])
def test_a_call_that_is_not_taken_comes_back(tmp_path: Path, status: int) -> None:
    async def work() -> None:
        async with trunk(tmp_path, changes=OWN | {"ring_seconds": 2}) as line:
            one, other = await caller(), await Phone(answers=status).open()
            call = one.call(line.server)
            await line.message(Bridged, call)
            hand_on(line.phone, f"sip:202@{HOST}:{other.port}")
            await line.phone.requested("INVITE", 2)
            await line.until(lambda: len(line.of(Bridged, call)) == 2, "not connected")
            one.request("BYE")
            await line.phone.requested("BYE", 2)
            assert (await line.message(Over, call)).cause is Cause.CALLER_BYE
            for each in (one, other):
                await each.close()

    run(work())


@NEEDS_PJSUA
def test_whom_the_telephone_has_spoken_with_takes_that_call_over(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path, changes=OWN) as line:
            one, other = await caller(), await Phone().open()
            call = one.call(line.server)
            await line.message(Bridged, call)
            hand_on(line.phone, f"sip:202@{HOST}:{other.port}?Replaces=c1%40h%3Bto-tag%3D1%3Bfrom-tag%3D2")
            assert (await other.requested("INVITE")).get("Replaces").replace(
                " ", ""
            ) == "c1@h;to-tag=1;from-tag=2"
            await line.until(lambda: len(line.of(Bridged, call)) == 2, "not connected")
            for each in (one, other):
                await each.close()

    run(work())


@NEEDS_PJSUA
@pytest.mark.parametrize("side", Side)
def test_nobody_else_may_have_somebody_called(tmp_path: Path, side: Side) -> None:
    """Not the caller; nor the practice, where its number is on the trunk."""

    async def work() -> None:
        phone = await Phone(sound=noise(2, 2.0)).open()
        place = f"{HOST}:{phone.port}"
        changes = (
            {"registrar": place, "destination": "100"}
            if side is Side.CALLEE
            else {"destination": f"sip:100@{place}", "registrar": "localhost"}
        )
        async with trunk(tmp_path, changes=changes) as line:
            one = await caller()
            call = one.call(line.server)
            await line.message(Bridged, call)
            who = one if side is Side.CALLER else phone
            hand_on(who, f"sip:0900@{HOST}")
            assert (await who.response("REFER")).status == 405
            assert len(line.of(Dialling, call)) == 1
            await one.close()
        await phone.close()

    run(work())
