"""`hushtap bench` says what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import floor
from gateway.cli import bench, main


def test_without_the_source_tree_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    assert main(["bench", "--json"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "run this in a checkout" in told.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--codec", "G729"], "there is no load in G729; there is in PCMA, PCMU, G722, GSM, opus"),
        (["--ptime", "7"], "packets of 7 ms in PCMA: a multiple of 5 is needed"),
        (["--srtp", "--keys", "events"], "leave one out"),
        (["--calls", "100000"], "UDP ports are needed, between"),
    ],
)
def test_a_load_that_cannot_be_made_is_a_sentence(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--json", *options]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize(
    "options", [["--json", "--directory", "not-there"], ["--calls", "1", "--output", "a-file/results"]]
)
def test_a_folder_that_cannot_be_written_to_is_a_sentence(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    assert main(["bench", *options]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert options[-1].partition("/")[0] in told.err


def test_without_a_compiler_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(floor, "COMPILERS", ("no-such-compiler",))
    assert main(["bench", "--json"]) == 2
    assert "a C compiler is needed" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["2", "-0.1", "much"])
def test_a_share_is_a_number_from_0_to_1(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--loss", share])
    assert "is not a number from 0 to 1" in capsys.readouterr().err
