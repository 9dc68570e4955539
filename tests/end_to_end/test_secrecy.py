"""Nothing that the gateway wrote shows what was said, who spoke, or how to open it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.end_to_end import judge, sipp
from tests.end_to_end.conftest import RENAMED, Recorded

RUN = 16  # octets of audio in a row that must not be found


@pytest.fixture(scope="module")
def written(recorded: Recorded) -> dict[Path, bytes]:
    """Every file under the storage folder, and the log."""
    files = [path for path in recorded.gateway.storage.rglob("*") if path.is_file()]
    assert len(files) > 4 * len(recorded.listed)
    return {path: path.read_bytes() for path in [*files, recorded.gateway.log]}


def found(written: dict[Path, bytes], secrets: Iterable[bytes]) -> list[str]:
    """The names of files that hold one of these, in whatever case."""
    lower = [secret.lower() for secret in secrets]
    return [path.name for path, data in written.items() if any(secret in data.lower() for secret in lower)]


def test_no_audio(recorded: Recorded, written: dict[Path, bytes]) -> None:
    """Each run of 31 octets of a packet holds one of the runs looked for."""
    runs = {
        payload[at : at + RUN]
        for outcome in recorded.outcomes.values()
        for leg in outcome.legs
        for payload in leg.audio().values()
        for at in range(0, len(payload) - RUN + 1, RUN)
    }
    assert len(runs) > 50_000
    for path, data in written.items():
        assert not any(data[at : at + RUN] in runs for at in range(len(data) - RUN + 1)), path.name


def test_nobody(recorded: Recorded, written: dict[Path, bytes]) -> None:
    parties = [leg.party for plan in recorded.plans.values() for leg in (plan.caller, plan.callee)]
    people = {text for party in [*parties, RENAMED] for text in (party.number, party.name)}
    people |= {call.number for call in sipp.CALLS} | {"Caller Name", "Agent Name"}
    assert not found(
        written, (text.lstrip("+").encode(code) for text in people for code in ("utf-8", "utf-16-le"))
    )


def test_no_key_and_no_plaintext(recorded: Recorded, written: dict[Path, bytes]) -> None:
    ids = [call["recordings"][0]["id"] for call in recorded.listed.values()]
    keys = [judge.unwrap(recorded.gateway.storage, recording_id) for recording_id in ids]
    assert not found(written, (text for key in keys for text in (key, key.hex().encode())))
    assert not found(written, [bytes.fromhex("1a45dfa3"), b"matroska"])


def test_only_the_owner_may_read(recorded: Recorded) -> None:
    storage = recorded.gateway.storage
    for path in [storage, *storage.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
