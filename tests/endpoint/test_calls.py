"""Calls through the endpoint: a caller on the trunk, the practice's phone, and what passes between them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from gateway.endpoint.messages import (
    Bridged,
    Cause,
    Connected,
    Described,
    KeyPressed,
    Noticed,
    Over,
    Relayed,
    Side,
)
from tests.endpoint.phone import Phone, said_by
from tests.endpoint.sounds import decode, noise, similarity
from tests.endpoint.trunk import NEEDS_PJSUA, NOTICE, Trunk, caller, run, trunk

pytestmark = NEEDS_PJSUA
ALIKE = 0.9  # of the same sound after G.711 twice and a resampler; of two noises it is below 0.1
HEARD_SECONDS = 0.8


async def bridged(line: Trunk, other: Phone) -> str:
    call = other.call(line.server)
    await line.message(Bridged, call)
    return call


def test_the_notice_is_heard_in_full_before_the_bridge_and_then_both_hear_each_other(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path) as line:
            one = await caller()
            call = await bridged(line, one)
            await asyncio.sleep(HEARD_SECONDS)
            one.request("BYE")
            over = await line.message(Over, call)
            assert over.cause is Cause.CALLER_BYE
            assert line.of(Noticed, call)[0].whole
            await line.phone.requested("BYE")
            heard = one.audio()
            score, place = similarity(heard, decode(NOTICE))
            assert score > ALIKE
            (noticed,), (bridge,) = line.of(Noticed, call), line.of(Bridged, call)
            assert line.of(Connected, call)[0].at_ns < noticed.at_ns < bridge.at_ns
            assert not said_by(line.phone, heard[: place + len(NOTICE)])
            assert said_by(line.phone, heard[place + len(NOTICE) :])
            assert said_by(one, line.phone.audio())
            await one.close()

    run(work())


async def hears(phone: Phone, keys: str) -> None:
    await phone.until(lambda: "".join(phone.pressed()) == keys, f"not heard: {keys}")


def test_keys_pass_both_ways_by_rtp(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path) as line:
            one = await caller()
            call = await bridged(line, one)
            for pressed in ("5", "5#"):
                one.press(pressed[-1])
                await hears(line.phone, pressed)
            line.phone.press("9")
            await hears(one, "9")
            assert {(m.way, m.passed) for m in line.of(Relayed, call)} == {("rfc4733", True)}
            await one.close()

    run(work())


def test_keys_pass_both_ways_by_info_and_are_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path) as line:
            one = await caller()
            call = await bridged(line, one)
            one.info("7")
            assert "Signal=7" in (await line.phone.requested("INFO")).body.replace(" ", "")
            assert (await one.response("INFO")).status == 200
            line.phone.info("3")
            assert "Signal=3" in (await one.requested("INFO")).body.replace(" ", "")
            await line.until(lambda: len(line.of(KeyPressed, call)) == 2, "keys were not told")
            assert [(m.side, m.key) for m in line.of(KeyPressed, call)] == [
                (Side.CALLER, "7"),
                (Side.CALLEE, "3"),
            ]
            await one.close()

    run(work())


def test_a_phone_without_events_gets_keys_by_info(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path, Phone(events=False)) as line:
            one = await caller()
            await bridged(line, one)
            one.press("4")
            assert "Signal=4" in (await line.phone.requested("INFO")).body.replace(" ", "")
            await one.close()

    run(work())


def slowly(phone: Phone, seconds: float) -> None:
    """It answers INVITEs so much later from now on."""
    take = phone._take_invite
    phone._take_invite = lambda message: asyncio.get_running_loop().call_later(seconds, take, message)  # type: ignore[assignment,method-assign]


def test_a_hold_that_is_taken_back_before_the_other_side_has_answered_it_is_taken_back_there(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with trunk(tmp_path) as line:
            one = await caller()
            await bridged(line, one)
            slowly(one, 0.3)
            for number, direction in enumerate(("sendonly", "sendrecv")):
                line.phone.reinvite(direction)
                await line.phone.response("INVITE")
                await one.requested("INVITE", number + 1) if not number else None
            assert (await one.requested("INVITE", 2)).direction == "sendrecv"
            await one.close()

    run(work())


def test_a_hold_that_meets_another_invite_is_asked_for_again(tmp_path: Path) -> None:
    """RFC 3261 section 14.1: 491 is no refusal."""

    async def work() -> None:
        async with trunk(tmp_path) as line:
            one = await caller()
            await bridged(line, one)
            take = one._take_invite
            one._take_invite = lambda message: one._respond(message, 491)  # type: ignore[method-assign]
            line.phone.reinvite("sendonly")
            await one.requested("INVITE", 1)
            one._take_invite = take  # type: ignore[method-assign]
            assert (await one.requested("INVITE", 2)).direction in ("sendonly", "inactive")
            await one.close()

    run(work())


def test_a_caller_who_offers_nothing_is_answered_at_once_and_hears_the_notice(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path, changes={"answer": "when_connected"}) as line:
            one = await caller()
            one.answers_in_ack = True
            call = one.call(line.server, sdp=False)
            await line.message(Bridged, call)
            await asyncio.sleep(HEARD_SECONDS)
            assert similarity(one.audio(), decode(NOTICE))[0] > ALIKE
            await one.close()

    run(work())


@pytest.mark.parametrize(("kind", "body", "status"), [("application/dtmf-relay", "5555", 400), ("application/dtmf", "8", 200)])  # fmt: skip
def test_odd_keys_by_info_end_nothing(tmp_path: Path, kind: str, body: str, status: int) -> None:
    async def work() -> None:
        async with trunk(tmp_path) as line:
            one = await caller()
            await bridged(line, one)
            one.request("INFO", body, kind)
            assert (await one.response("INFO")).status == status
            one.request("OPTIONS")
            assert (await one.response("OPTIONS")).status == 200
            assert not line.of(Over)
            await one.close()

    run(work())


def test_an_invite_that_pjsip_drops_is_refused_and_takes_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.io.front.ANSWER_SECONDS", 1.0)

    async def work() -> None:
        async with trunk(tmp_path, changes={"calls": 1}) as line:
            one = await caller()
            one.number = "a{b"  # no user has such a letter, RFC 3261 section 25.1
            one.call(line.server)
            assert (await one.response("INVITE")).status == 500
            two = await caller(5)
            await bridged(line, two)
            for each in (one, two):
                await each.close()

    run(work())


def test_a_caller_with_early_media_is_refused_when_the_process_dies(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path, Phone(answers=180), changes={"answer": "when_connected"}) as line:
            one = await caller()
            call = one.call(line.server)
            await line.phone.requested("INVITE")
            seat = line.endpoint.seat_of(call)
            assert seat is not None
            os.kill(line.endpoint.pids[seat] or 0, signal.SIGKILL)
            line.phone._take_request = lambda message: None  # type: ignore[method-assign]
            await line.phone.requested("CANCEL")
            line.phone.pick_up()  # which crosses the CANCEL
            await line.phone.requested("ACK")
            await line.phone.requested("BYE")
            assert (await one.response("INVITE")).status == 500
            await one.close()

    run(work())


@pytest.mark.parametrize("side", Side)
def test_hold_passes(tmp_path: Path, side: Side) -> None:
    async def work() -> None:
        async with trunk(tmp_path) as line:
            one = await caller()
            call = await bridged(line, one)
            holder, held = (one, line.phone) if side is Side.CALLER else (line.phone, one)
            before = 1 if held is line.phone else 0
            holder.reinvite("sendonly")
            assert (await holder.response("INVITE")).direction == "recvonly"
            assert (await held.requested("INVITE", before + 1)).direction in ("sendonly", "inactive")
            await line.until(
                lambda: any(m.held and m.side is side for m in line.of(Described, call)), "no hold told"
            )
            await held.requested("ACK", before + 1)
            holder.reinvite("sendrecv")
            assert (await holder.response("INVITE")).direction == "sendrecv"
            assert (await held.requested("INVITE", before + 2)).direction == "sendrecv"
            holder.packets.clear()
            held.packets.clear()
            await asyncio.sleep(HEARD_SECONDS)
            assert said_by(holder, held.audio())
            assert said_by(held, holder.audio())
            await one.close()

    run(work())


def test_the_practice_hangs_up(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path) as line:
            one = await caller()
            call = await bridged(line, one)
            line.phone.request("BYE")
            await one.requested("BYE")
            assert (await line.message(Over, call)).cause is Cause.CALLEE_BYE
            await one.close()

    run(work())


def test_a_busy_practice_is_heard_as_busy_and_the_caller_is_let_go(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path, Phone(answers=486)) as line:
            one = await caller()
            call = one.call(line.server)
            await one.requested("BYE")
            over = await line.message(Over, call)
            assert (over.cause, over.status) == (Cause.REFUSED, 486)
            tone = one.audio()[-8000:]  # a second: the tone and its pause
            spectrum = np.abs(np.fft.rfft(tone))
            assert abs(np.argmax(spectrum) * 8000 / len(tone) - 425) < 5
            await one.close()

    run(work())


def test_answering_late_the_refusal_itself_reaches_the_caller(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path, Phone(answers=486), changes={"answer": "when_connected"}) as line:
            one = await caller()
            call = one.call(line.server)
            assert (await one.response("INVITE")).status == 486
            assert similarity(one.audio(), decode(NOTICE))[0] > ALIKE
            assert (await line.message(Over, call)).cause is Cause.REFUSED
            await one.close()

    run(work())


def test_answering_late_the_caller_is_answered_when_the_phone_is(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(
            tmp_path, Phone(sound=noise(2, 2.0), answers=180), changes={"answer": "when_connected"}
        ) as line:
            one = await caller()
            call = one.call(line.server)
            await line.phone.requested("INVITE")
            assert not [m for m in one.heard if m.status >= 200]
            line.phone.pick_up()
            assert (await one.response("INVITE")).status == 200
            await line.message(Bridged, call)
            one.packets.clear()
            await asyncio.sleep(HEARD_SECONDS)
            assert said_by(line.phone, one.audio())
            assert said_by(one, line.phone.audio())
            await one.close()

    run(work())


def test_a_caller_who_hangs_up_while_it_rings_cancels_the_phone(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path, Phone(answers=180)) as line:
            one = await caller()
            call = one.call(line.server)
            await line.phone.requested("INVITE")
            one.request("BYE")
            await line.phone.requested("CANCEL")
            assert (await line.message(Over, call)).cause is Cause.CANCELLED
            await one.close()

    run(work())


def test_cancel_passes(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path, Phone(answers=180), changes={"answer": "when_connected"}) as line:
            one = await caller()
            call = one.call(line.server)
            await line.phone.requested("INVITE")
            one.cancel()
            assert (await one.response("INVITE")).status == 487
            await line.phone.requested("CANCEL")
            assert (await line.message(Over, call)).cause is Cause.CANCELLED
            await one.close()

    run(work())


def test_nobody_answers(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path, Phone(answers=180), changes={"ring_seconds": 1}) as line:
            one = await caller()
            call = one.call(line.server)
            await line.phone.requested("CANCEL")
            await one.requested("BYE")
            assert (await line.message(Over, call)).cause is Cause.NO_ANSWER
            await one.close()

    run(work())


def test_a_process_that_hangs_is_ended_and_its_calls_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.io.seats.SILENT_SECONDS", 5.0)

    async def work() -> None:
        async with trunk(tmp_path) as line:
            one = await caller()
            call = await bridged(line, one)
            pid = line.endpoint.pids[0]
            assert pid
            os.kill(pid, signal.SIGSTOP)
            await one.requested("BYE")
            await line.phone.requested("BYE")
            assert (await line.message(Over, call)).cause is Cause.FAILED
            await line.until(lambda: line.endpoint.takes(0), "the process is not replaced")
            await one.close()

    run(work())


def test_the_notice_is_kept_from_what_clears_old_files_away(tmp_path: Path) -> None:
    """tmpfiles.d(5): a folder that is locked is passed over."""

    async def work() -> None:
        async with trunk(tmp_path) as line:
            folder = os.open(line.endpoint._folder.name, os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(folder)

    run(work())


def test_the_death_of_a_process_ends_its_calls_and_no_other(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path, changes={"calls": 5}) as line:
            callers = [await caller(seed) for seed in range(10, 15)]
            calls = [await bridged(line, one) for one in callers]
            assert sorted(line.endpoint.load(seat) for seat in range(3)) == [1, 2, 2]
            sixth = await caller(20)
            sixth.call(line.server)
            assert (await sixth.response("INVITE")).status == 486
            victim = line.endpoint.seat_of(calls[0])
            lost = {call for call in calls if line.endpoint.seat_of(call) == victim}
            assert victim is not None
            pid = line.endpoint.pids[victim]
            assert pid
            os.kill(pid, signal.SIGKILL)
            await line.until(
                lambda: {m.call for m in line.of(Over)} == lost, "the calls of the dead are not over"
            )
            for one, call in zip(callers, calls, strict=True):
                if call in lost:
                    await one.requested("BYE")
                one.packets.clear()
            await line.phone.requested("BYE", 2)
            await asyncio.sleep(0.5)
            assert all(one.packets for one, call in zip(callers, calls, strict=True) if call not in lost)
            await line.until(lambda: line.endpoint.takes(victim), "the process is not replaced")
            assert line.endpoint.pids[victim] != pid
            again = await caller(21)
            await bridged(line, again)
            for one in (*callers, sixth, again):
                await one.close()

    run(work())
