"""The access log: a line for each taking out, its details sealed, kept through a rotation."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.storage import access, files
from gateway.storage.access import Access, AccessLogError
from gateway.storage.keys import FilePrivateKeys, NotOpened, VaultPublicKey, private_pem
from tests.storage.recorder import Recorder

ENTRIES = [
    Access(
        "2026-03-01T08:30:00.000000Z",
        "grace",
        "call-1",
        "export",
        {"reason": "asked by the caller", "leg": "both"},
    ),
    Access("2026-03-01T08:31:00.000000Z", "ada", "call-2", "export", {"reason": "zażalenie"}),
]


def test_entries_come_back_in_order(recorder: Recorder) -> None:
    folder = recorder.vault.directory
    assert list(access.read(folder, recorder.private)) == []
    for entry in ENTRIES:
        access.append(folder, entry, lambda: recorder.keys.vault)
    assert list(access.read(folder, recorder.private)) == ENTRIES
    stored = (folder / access.FILE).read_bytes()
    assert stored.count(b"\n") == 2
    assert b"grace" in stored
    assert b"caller" not in stored


def test_entries_go_over_to_a_new_key(recorder: Recorder) -> None:
    folder = recorder.vault.directory
    access.append(folder, ENTRIES[0], lambda: recorder.keys.vault)
    new = X25519PrivateKey.generate()
    path = folder / "new.key"
    files.create(path, private_pem(new))
    access.reseal(folder, recorder.private, VaultPublicKey(new.public_key()))
    assert list(access.read(folder, FilePrivateKeys(path))) == ENTRIES[:1]
    with pytest.raises(NotOpened):
        list(access.read(folder, recorder.private))


def test_a_foreign_line_is_named(recorder: Recorder) -> None:
    folder = recorder.vault.directory
    access.append(folder, ENTRIES[0], lambda: recorder.keys.vault)
    with (folder / access.FILE).open("ab") as file:
        file.write(b"note to self\n")
    with pytest.raises(AccessLogError, match="line 2"):
        list(access.read(folder, recorder.private))


def test_an_entry_of_another_call_does_not_open(recorder: Recorder) -> None:
    folder = recorder.vault.directory
    access.append(folder, ENTRIES[0], lambda: recorder.keys.vault)
    path = folder / access.FILE
    path.write_bytes(path.read_bytes().replace(b"call-1", b"call-9"))
    with pytest.raises(NotOpened):
        list(access.read(folder, recorder.private))
