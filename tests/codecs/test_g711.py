from __future__ import annotations

import subprocess

import numpy as np
import pytest

from gateway.codecs.g711 import A_LAW, MU_LAW, Law


@pytest.mark.parametrize(("law", "demuxer"), [(A_LAW, "alaw"), (MU_LAW, "mulaw")])
def test_every_code_decodes_as_ffmpeg_does(law: Law, demuxer: str) -> None:
    codes = bytes(range(256))
    judge = subprocess.run(
        ["ffmpeg", "-v", "error", "-f", demuxer, "-ar", "8000", "-i", "-", "-f", "s16le", "-"],
        input=codes,
        capture_output=True,
        check=True,
    )
    assert law.decode(codes).tolist() == np.frombuffer(judge.stdout, "<i2").tolist()


def test_nothing_decodes_to_nothing() -> None:
    assert A_LAW.decode(b"").dtype == np.int16
    assert A_LAW.decode(b"").size == 0
