"""Somebody with access to the disk changes what is stored: the command line says where."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pysqlite3 import dbapi2

from tests.end_to_end.conftest import Recorded
from tests.end_to_end.gateway import Json, Printed, hushtap


class Target:
    """The files of one call in a copied storage folder."""

    def __init__(self, storage: Path, original: Path, call: Json) -> None:
        self.storage, self.call_id = storage, str(call["id"])
        (recording,) = call["recordings"]
        self.recording_id = str(recording["id"])
        self.part = storage / Path(recording["path"]).relative_to(original)
        self.folder = self.part.parent
        self.manifest = self.folder / f"{self.recording_id}.manifest.json"
        self.record = self.folder / "call.json"
        self.key = storage / "wrapped" / self.recording_id[-2:] / f"{self.recording_id}.json"

    def index(self, statement: str) -> None:
        """Change the index; `:call` and `:recording` stand for the ids."""
        connection = dbapi2.connect(str(self.storage / "index.sqlite3"))
        with connection:
            done = connection.execute(statement, {"call": self.call_id, "recording": self.recording_id})
            assert done.rowcount > 0
        connection.close()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def cut(target: Target) -> None:
    target.part.write_bytes(target.part.read_bytes()[:-1])


def cut_at_a_segment(target: Target) -> None:
    target.part.write_bytes(target.part.read_bytes()[: 4096 * 8])


def append(target: Target) -> None:
    with target.part.open("ab") as file:
        file.write(b"\0")


# What is done, and what the problem told must match.
TAMPERING: dict[str, tuple[Callable[[Target], object], str]] = {
    "a byte of audio is flipped": (lambda t: flip(t.part), r"\.1\.sealed: segment \d+ is altered"),
    "audio is cut": (cut, r"\.1\.sealed: .*cut or altered"),
    "audio is cut between segments": (
        cut_at_a_segment,
        r"\.1\.sealed: the file ends after segment 7 without",
    ),
    "audio is appended to": (append, r"\.1\.sealed: .*the manifest says"),
    "audio is deleted": (lambda t: t.part.unlink(), r"\.1\.sealed: the file is not there"),
    "the key is deleted": (lambda t: t.key.unlink(), r"\.json: .*not there"),
    "the key is altered": (lambda t: flip(t.key), r"\.json: "),
    "the manifest is altered": (lambda t: replace(t.manifest, b'"lost":0', b'"lost":1'), r"manifest\.json: "),
    "the manifest is deleted": (lambda t: t.manifest.unlink(), r"manifest\.json: .*not there"),
    "the record is altered": (lambda t: replace(t.record, b"inbound", b"unknown"), r"call\.json: "),
    "the record is deleted": (lambda t: t.record.unlink(), r"call\.json: .*not there"),
    "the call is deleted": (lambda t: shutil.rmtree(t.folder), r"the vault has not"),
    "the call is deleted from the index": (
        lambda t: t.index("DELETE FROM calls WHERE id = :call"),
        r"index has no row",
    ),
    "a count in the index is altered": (
        lambda t: t.index("UPDATE legs SET packets = packets - 1 WHERE call_id = :call"),
        r"legs\.packets .* differs",
    ),
    "a hash in the index is altered": (
        lambda t: t.index("UPDATE parts SET sha256 = '0' WHERE recording_id = :recording"),
        r"parts\.sha256 .* differs",
    ),
}
SWAPPED = r"altered or out of its place, or sealed for another recording"


@pytest.fixture(scope="module")
def targets(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> list[Target]:
    """Every call of a copy of the storage folder, in which all tampering is done, and two calls' audio is exchanged."""
    folder = tmp_path_factory.mktemp("tampering")
    shutil.copy(recorded.gateway.config, folder)
    storage = Path(shutil.copytree(recorded.gateway.storage, folder / recorded.gateway.storage.name))
    calls = recorded.listed.values()
    targets = [Target(storage, recorded.gateway.storage.absolute(), call) for call in calls]
    for (tamper, _), target in zip(TAMPERING.values(), targets, strict=False):
        tamper(target)
    first, second = targets[len(TAMPERING)], targets[len(TAMPERING) + 1]
    other = second.part.read_bytes()
    second.part.write_bytes(first.part.read_bytes())
    first.part.write_bytes(other)
    return targets


@pytest.fixture(scope="module")
def printed(targets: list[Target]) -> Printed:
    return hushtap(targets[0].storage.parent, "verify", "--all", "--json")


@pytest.mark.parametrize("place", range(len(TAMPERING)), ids=list(TAMPERING))
def test_tampering_is_named(targets: list[Target], printed: Printed, place: int) -> None:
    (verdict,) = [v for v in printed.json if v["id"] == targets[place].recording_id]
    assert not verdict["ok"]
    assert re.search(list(TAMPERING.values())[place][1], verdict["problem"])


def test_exchanged_recordings_are_named(targets: list[Target], printed: Printed) -> None:
    exchanged = {target.recording_id for target in targets[len(TAMPERING) :][:2]}
    problems = [v["problem"] for v in printed.json if v["id"] in exchanged and not v["ok"]]
    assert len(problems) == 2
    assert all(re.search(SWAPPED, problem) for problem in problems)


def test_nothing_else_is_blamed(targets: list[Target], printed: Printed) -> None:
    untouched = {target.recording_id for target in targets[len(TAMPERING) + 2 :]}
    assert untouched
    assert {v["id"] for v in printed.json if v["ok"]} == untouched
    assert {v["id"] for v in printed.json} <= {target.recording_id for target in targets} | {"index.sqlite3"}


def test_the_exit_status_tells(targets: list[Target], printed: Printed) -> None:
    folder = targets[0].storage.parent
    assert printed.code == 1
    assert hushtap(folder, "verify", targets[0].call_id).code == 1
    assert hushtap(folder, "verify", targets[-1].call_id).code == 0


def test_altered_audio_is_not_exported(targets: list[Target]) -> None:
    folder = targets[0].storage.parent
    words = ["--format", "wav", "--output", "altered.wav", "--reason", "a test"]
    exported = hushtap(folder, "export", targets[0].call_id, *words)
    assert exported.code == 2
    assert "altered" in exported.err
    assert not (folder / "altered.wav").exists()
