"""Keys: made private, refused when exposed, bound to what they seal."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.config.settings import Settings, StorageSettings
from gateway.storage.keys import (
    FilePrivateKeys,
    KeyExposed,
    KeyMalformed,
    KeyMissing,
    KeyPaths,
    KeysExist,
    NotOpened,
    PrivateKeyMissing,
    Sealed,
    VaultPublicKey,
    create_keys,
    load_node_public,
    load_recorder,
)
from gateway.storage.lookup import number_hashes, search_hashes


@pytest.fixture
def paths(tmp_path: Path) -> KeyPaths:
    made = KeyPaths.of(Settings(storage=StorageSettings(directory=tmp_path / "data")))
    create_keys(made)
    return made


def test_keys_are_private_files_in_a_private_folder(paths: KeyPaths) -> None:
    assert {path.name for path in paths.vault_private.parent.iterdir()} == {
        "vault.key", "vault.pub", "node.key", "node.pub", "lookup.key"
    }  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths.all()} == {0o600}
    assert stat.S_IMODE(paths.node.parent.stat().st_mode) == 0o700


def test_sealed_data_opens_only_with_its_key_and_info(paths: KeyPaths) -> None:
    keys, private = load_recorder(paths), FilePrivateKeys(paths.vault_private)
    sealed = keys.vault.seal(b"k" * 32, b"one")
    assert len(sealed.data) == 80
    assert private.open(sealed, b"one") == b"k" * 32
    with pytest.raises(NotOpened, match="altered, or of another owner"):
        private.open(sealed, b"two")
    with pytest.raises(NotOpened, match="altered"):
        private.open(Sealed(sealed.key_id, sealed.data[:20]), b"one")
    stranger = VaultPublicKey(X25519PrivateKey.generate().public_key())
    with pytest.raises(NotOpened, match=stranger.id):
        private.open(stranger.seal(b"x", b"one"), b"one")


def test_new_keys_never_replace_old_ones(paths: KeyPaths) -> None:
    before = paths.vault_private.read_bytes()
    paths.node.unlink()
    with pytest.raises(KeysExist, match=r"vault\.key"):
        create_keys(paths)
    assert paths.vault_private.read_bytes() == before
    assert not paths.node.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_reach_is_refused(paths: KeyPaths, mode: int) -> None:
    for path in (paths.vault_private, paths.node, paths.lookup):
        path.chmod(mode)
    with pytest.raises(KeyExposed, match=f"node.key: has mode {mode:04o}"):
        load_recorder(paths)
    with pytest.raises(KeyExposed, match="must be 0600"):
        FilePrivateKeys(paths.vault_private)


def test_a_missing_private_key_is_named(paths: KeyPaths) -> None:
    paths.vault_private.unlink()
    load_recorder(paths)
    with pytest.raises(PrivateKeyMissing, match=r"vault\.key: .* cannot work without it"):
        FilePrivateKeys(paths.vault_private)
    paths.vault_public.unlink()
    with pytest.raises(KeyMissing, match=r"vault\.pub"):
        load_recorder(paths)


def test_files_that_hold_something_else_are_refused(paths: KeyPaths) -> None:
    paths.lookup.write_text("not hexadecimal")
    with pytest.raises(KeyMalformed, match="64 hexadecimal digits"):
        load_recorder(paths)
    paths.lookup.write_text("00" * 16)
    with pytest.raises(KeyMalformed, match="holds 16 bytes"):
        load_recorder(paths)
    paths.vault_private.write_bytes(paths.node.read_bytes())
    with pytest.raises(KeyMalformed, match="a X25519PrivateKey is needed"):
        FilePrivateKeys(paths.vault_private)
    paths.node_public.write_bytes(b"garbage")
    with pytest.raises(KeyMalformed, match="not a PEM key"):
        load_node_public(paths.node_public)


@pytest.mark.parametrize(
    ("stored", "searched", "meet"),
    [
        ("+441632960123", "01632 960123", True),
        ("01632960123", "+44 (0)1632-960123", True),
        ("00441632960123", "+441632960123", True),
        ("sip:+441632960123@trunk.test;user=phone", "tel:01632960123", True),
        ("+441632960123", "0123", True),
        ("+441632960123", "960123", True),
        ("+441632960123", "123", False),
        ("+441632960123", "01632960124", False),
        ("20123456", "+45 20 12 34 56", True),
        ("021234567", "+3221234567", True),
        ("201", "201", True),
        ("2201", "201", False),
        ("2201", "2201", True),
        ("sip:Alice@pbx.test", "alice", True),
        ("alice", "alicia", False),
    ],
)
def test_forms_of_one_number_meet(stored: str, searched: str, meet: bool) -> None:
    key = b"l" * 32
    assert bool(set(number_hashes(key, stored)) & set(search_hashes(key, searched))) is meet
    assert not set(number_hashes(b"m" * 32, stored)) & set(search_hashes(key, searched))
