"""The same with peers of other people's: sipp is the trunk, baresip the practice's telephone."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.endpoint.messages import Arrived, Bridged, Cause, Described, Noticed, Over
from tests.endpoint.phone import DEADLINE, HOST, Phone, said_by
from tests.endpoint.sounds import decode, noise, similarity
from tests.endpoint.trunk import NEEDS_PJSUA, NOTICE, Trunk, run, trunk, write_wav
from tests.ports import free_port, free_range

pytestmark = NEEDS_PJSUA
UAC = Path(__file__).with_name("uac.xml")
MODULES = "/usr/lib/baresip/modules"
TALK_MS = 3000
ALIKE = 0.8


@asynccontextmanager
async def baresip(folder: Path, port: int, said: bytes, *more: str) -> AsyncIterator[Path]:
    """Answers every call at once, says `said`, and writes what it hears to a file of the folder."""
    folder.mkdir()
    speech = write_wav(folder / "said.wav", said)
    lines = [
        f"sip_listen {HOST}:{port}", "poll_method epoll", f"module_path {MODULES}",
        "audio_player aubridge,nobody", f"snd_path {folder}", f"audio_source aufile,{speech}", f"audio_alert aufile,{speech}",
        "ausrc_srate 8000", "auplay_srate 8000", "ausrc_channels 1", "auplay_channels 1",
        f"rtp_ports {free_port()}-65000", "module g711.so", "module aufile.so", "module aubridge.so", "module sndfile.so",
        "module_tmp account.so", "module_app menu.so", *more,
    ]  # fmt: skip
    (folder / "config").write_text("\n".join(lines) + "\n")
    (folder / "accounts").write_text(f"<sip:100@{HOST}>;regint=0;answermode=auto;audio_codecs=PCMA/8000/1\n")
    (folder / "contacts").touch()
    process = await asyncio.create_subprocess_exec(
        "baresip", "-f", str(folder), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        async with asyncio.timeout(DEADLINE):
            while b"baresip is ready" not in (line := await process.stdout.readline()):
                assert line, "baresip did not start"
        yield folder
    finally:
        process.terminate()
        await process.communicate()


async def sipp(
    transport: str, server: tuple[str, int], media: int, folder: Path
) -> asyncio.subprocess.Process:
    command = (
        f"sipp {server[0]}:{server[1]} -sf {UAC} -m 1 -t {transport[0]}1 -i {HOST} -p {free_port()} -key media {media}"
        f" -d {TALK_MS} -nostdin -trace_err -timeout 30"
    )
    return await asyncio.create_subprocess_exec(
        *command.split(), cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )


def read_wav(path: Path) -> NDArray[np.float64]:
    """What was written until now; the length in the header of a file that is still open is not believed."""
    return np.frombuffer(path.read_bytes()[44:], "<i2").astype(np.float64)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_of_sipp_to_baresip(tmp_path: Path, transport: str) -> None:
    said, spoken = noise(31, 8.0), noise(32, 2.0)
    port = free_port()

    async def work() -> None:
        media = await Phone(sound=spoken).open()
        media.events = True
        async with (
            baresip(tmp_path / "baresip", port, said) as telephone,
            trunk(
                tmp_path, changes={"destination": f"sip:100@{HOST}:{port}", "transport": transport}
            ) as line,
        ):
            call = await sipp(transport, line.server, media.media_port, tmp_path)
            arrived = await line.message(Arrived)
            media.send_to(await place_of(line))
            assert await call.wait() == 0
            over = await line.message(Over)
            assert (over.call, over.cause) == (arrived.call, Cause.CALLER_BYE)
            assert arrived.invite is not None
            assert "+15551230001" in (arrived.invite.headers.get("From") or "")
            assert line.of(Noticed)[0].whole
            assert line.of(Noticed)[0].at_ns < line.of(Bridged)[0].at_ns
        audio = media.audio()
        score, place = similarity(audio, decode(NOTICE))
        assert score > ALIKE
        assert said_by(Phone(sound=said), audio[place + len(NOTICE) :])
        assert said_by(media, read_wav(next(telephone.glob("dump-*-dec.wav"))))
        await media.close()

    run(work())


def test_baresip_hands_a_call_on(tmp_path: Path) -> None:
    """It hangs up as soon as it is told that this is done."""
    port = free_range(8)  # baresip takes the one after it, too
    steering = port + 5
    control = (f"ctrl_tcp_listen {HOST}:{steering}", "module_app ctrl_tcp.so")

    async def work() -> None:
        one, other = await Phone(sound=noise(1, 2.0)).open(), await Phone(sound=noise(8, 2.0)).open()
        changes = {"registrar": "localhost", "destination": f"sip:100@{HOST}:{port}"}
        async with (
            baresip(tmp_path / "baresip", port, noise(31, 30.0), *control),
            trunk(tmp_path, changes=changes) as line,
        ):
            call = one.call(line.server)
            await line.message(Bridged, call)
            _, writer = await asyncio.open_connection(HOST, steering)
            command = json.dumps({"command": "transfer", "params": f"sip:202@{HOST}:{other.port}"})
            writer.write(f"{len(command)}:{command},".encode())
            await other.requested("ACK")
            await line.until(lambda: len(line.of(Bridged, call)) == 2, "not connected")
            one.request("BYE")
            await other.requested("BYE")
            assert (await line.message(Over, call)).cause is Cause.CALLER_BYE
            writer.close()
        for each in (one, other):
            await each.close()

    run(work())


async def place_of(line: Trunk) -> tuple[str, int]:
    """Where the endpoint listens on the caller's leg."""
    await line.until(lambda: any(m.sdp for m in line.of(Described)), "no description")
    sdp = next(m.sdp for m in line.of(Described) if m.sdp)
    found = re.search(r"m=audio (\d+)", sdp)
    assert found
    return HOST, int(found[1])
