"""The notice: any audio file, or text that is spoken; what is wrong with it is said in one sentence."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from gateway.config.endpoint import EndpointSettings
from gateway.doctor import Level
from gateway.doctor_endpoints import examine_endpoints
from gateway.io.endpoint_facts import measure_endpoints
from gateway.io.sounds import BUSY, RATE, RINGING, NoticeFault, make_notice, make_tones

ALL = {
    "kind": "endpoint",
    "registrar": "trunk.example",
    "user": "practice",
    "address": "127.0.0.1",
    "destination": "100",
}


def settings(**changes: object) -> EndpointSettings:
    return EndpointSettings.model_validate(ALL | changes)


def write(path: Path, rate: int, channels: int, seconds: float, level: float = 8000) -> Path:
    samples = level * np.sin(np.arange(int(rate * seconds)) * 2 * np.pi * 440 / rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(samples, channels).astype("<i2").tobytes())
    return path


def read(path: Path) -> tuple[int, int, np.ndarray[tuple[int], np.dtype[np.int16]]]:
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2
        return file.getframerate(), file.getnchannels(), np.frombuffer(file.readframes(1 << 24), "<i2")


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16_000, 1), (44_100, 2), (48_000, 1)])
def test_any_rate_and_stereo_become_what_the_bridge_plays(tmp_path: Path, rate: int, channels: int) -> None:
    given = write(tmp_path / "given.wav", rate, channels, 1.5)
    path, seconds = make_notice(settings(notice=given), tmp_path)
    assert path is not None
    found_rate, found_channels, samples = read(path)
    assert (found_rate, found_channels) == (RATE, 1)
    assert abs(seconds - 1.5) < 0.01
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * RATE / len(samples) - 440) < 2


@pytest.mark.parametrize(
    ("seconds", "level", "why"),
    [(0.0, 8000, "holds no audio|cannot be read"), (1.0, 0, "silent"), (250.0, 8000, "longer than 240")],
)
def test_what_nobody_would_hear_is_refused(tmp_path: Path, seconds: float, level: float, why: str) -> None:
    given = write(tmp_path / "given.wav", 8000, 1, seconds, level)
    with pytest.raises(NoticeFault, match=why):
        make_notice(settings(notice=given), tmp_path)


@pytest.mark.parametrize("data", [b"", b"no audio at all", b"RIFF\xff\xff\xff\xffWAVEfmt "])
def test_what_is_no_audio_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "given.wav").write_bytes(data)
    with pytest.raises(NoticeFault, match="cannot be read as audio"):
        make_notice(settings(notice=tmp_path / "given.wav"), tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoticeFault, match=r"nowhere\.wav"):
        make_notice(settings(notice=tmp_path / "nowhere.wav"), tmp_path)


def test_text_is_spoken(tmp_path: Path) -> None:
    """espeak-ng is there where tests run; more words take longer."""
    short = make_notice(settings(notice_text="Guten Tag."), tmp_path)[1]
    long = make_notice(settings(notice_text="Guten Tag. " * 5), tmp_path)[1]
    assert 0.3 < short < 3
    assert long > 2 * short


def test_without_espeak_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = settings(notice_text="Guten Tag.")
    with pytest.raises(NoticeFault, match=r"espeak-ng is not installed.*apt-get install espeak-ng"):
        make_notice(wanted, tmp_path)
    faults = [f for f in examine_endpoints(measure_endpoints([wanted])) if f.level is Level.FAULT]
    assert [fault.check for fault in faults] == ["endpoint notice"]
    assert "espeak-ng is not installed" in faults[0].found


def test_a_language_that_espeak_does_not_know_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoticeFault, match="no voice 'qqq'"):
        make_notice(settings(notice_text="Guten Tag.", notice_language="qqq"), tmp_path)


def test_the_tones_have_their_cadence(tmp_path: Path) -> None:
    for path, cadence in zip(make_tones(tmp_path), (RINGING, BUSY), strict=True):
        _, _, samples = read(path)
        assert len(samples) == round(sum(cadence) * RATE)
        assert not samples[round(cadence[0] * RATE) :].any()


def test_the_doctor_warns_where_there_is_no_notice() -> None:
    findings = examine_endpoints(measure_endpoints([settings()]))
    assert [(f.check, f.level) for f in findings if f.level is not Level.OK] == [
        ("endpoint notice", Level.WARNING)
    ]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"registrar": "no host"}, "is not a host"),
        ({"destination": "call me"}, "neither a number nor a sip URI"),
        ({"destination": "sips:100@example.com"}, "neither a number nor a sip URI"),
        ({"address": "0.0.0.0"}, "no address that a trunk reaches"),
        ({"address": "trunk"}, "not an IPv4 address"),
        ({"notice": "a.wav", "notice_text": "b"}, "two notices"),
        ({"notice_required": True}, "there is no notice"),
        ({"first_rtp_port": 65_000, "calls": 100}, "set first_rtp_port lower"),
        ({"peers": ["everybody"]}, "everybody"),
        ({"user": "a@b"}, "user"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        settings(**changes)


def test_calls_decide_how_many_processes_there_are() -> None:
    assert [settings(calls=calls).processes() for calls in (1, 2, 3, 8)] == [1, 1, 2, 4]
