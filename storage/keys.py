"""The keys: who may write recordings, who may read them, who signs.

A recorder holds the vault's public key, the node's signing key and the lookup key. It can seal to
the vault, never open; opening goes through a PrivateKeyProvider, which only the playback side has.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gateway.config.settings import Settings
from gateway.storage import files

# RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
LOOKUP_KEY_BYTES = 32


class KeysError(Exception):
    """A key cannot be used; the text names the file and what is wrong with it."""


class KeyMissing(KeysError):
    """A key file is not there."""


class PrivateKeyMissing(KeyMissing):
    """The vault's private key, which this command needs, is not there."""


class KeyExposed(KeysError):
    """A private key file can be read by others than its owner."""


class KeyMalformed(KeysError):
    """A file does not hold the kind of key it should."""


class KeysExist(KeysError):
    """New keys would replace keys that are there, and with them all that was sealed to them."""


class NotOpened(KeysError):
    """Sealed data does not open: altered, of another owner, or sealed to a key that is not held."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A small secret sealed to one public key by HPKE: encapsulated key, then ciphertext."""

    key_id: str
    data: bytes


class PrivateKeyProvider(Protocol):
    """Opens what was sealed to the vault; the key itself may live in hardware or on another machine."""

    def open(self, sealed: Sealed, info: bytes) -> bytes:
        """The plain bytes; `info` must be that of sealing. Raises NotOpened."""
        ...


@dataclass(frozen=True, slots=True)
class VaultPublicKey:
    """Seals to the vault."""

    key: X25519PublicKey

    @property
    def id(self) -> str:
        return key_id(self.key)

    def seal(self, plain: bytes, info: bytes) -> Sealed:
        return Sealed(self.id, SUITE.encrypt(plain, self.key, info))


@dataclass(frozen=True, slots=True)
class NodePublicKey:
    """Checks what one recorder signed."""

    key: Ed25519PublicKey

    @property
    def id(self) -> str:
        return key_id(self.key)

    def signed(self, data: bytes, signature: bytes) -> bool:
        try:
            self.key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class NodeKey:
    """Signs what this recorder writes."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> NodePublicKey:
        return NodePublicKey(self.key.public_key())

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data)


@dataclass(frozen=True, slots=True)
class RecorderKeys:
    """All that recording needs; none of it opens a recording."""

    vault: VaultPublicKey
    node: NodeKey
    lookup: bytes


@dataclass(frozen=True, slots=True)
class KeyPaths:
    """Where the key files are; the node's public key lies beside its private one, named `.pub`."""

    vault_public: Path
    vault_private: Path
    node: Path
    lookup: Path

    @classmethod
    def of(cls, settings: Settings) -> KeyPaths:
        return cls(
            settings.key_path("vault_public"),
            settings.key_path("vault_private"),
            settings.key_path("node"),
            settings.key_path("lookup"),
        )

    @property
    def node_public(self) -> Path:
        return self.node.with_suffix(".pub")

    @property
    def next_private(self) -> Path:
        """The private key that a rotation in progress is going over to."""
        return next_of(self.vault_private)

    def all(self) -> tuple[Path, ...]:
        return (self.vault_private, self.vault_public, self.node, self.node_public, self.lookup)


class FilePrivateKeys:
    """The vault's private key in a file, and during a rotation the next one beside it."""

    def __init__(self, path: Path) -> None:
        if not path.exists() and not next_of(path).exists():
            raise PrivateKeyMissing(
                f"{path}: the vault's private key is not there; this command cannot work without it"
            )
        self._path = path
        self._keys = self._load()

    def _load(self) -> dict[str, X25519PrivateKey]:
        found = [load_private(file) for file in (self._path, next_of(self._path)) if file.exists()]
        return {key_id(key.public_key()): key for key in found}

    def open(self, sealed: Sealed, info: bytes) -> bytes:
        if sealed.key_id not in self._keys:
            self._keys |= self._load()  # a rotation may have begun since
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise NotOpened(f"it is sealed to key {sealed.key_id}; held here: {', '.join(self._keys)}")
        try:
            return SUITE.decrypt(sealed.data, key, info)
        except (InvalidTag, ValueError) as error:
            raise NotOpened(
                f"it does not open with key {sealed.key_id}: altered, or of another owner"
            ) from error


def key_id(key: X25519PublicKey | Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the public key's 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def next_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def create_keys(paths: KeyPaths) -> None:
    """Make all keys, each file 0600 and new. Raises KeysExist before anything is written if one is there."""
    for path in paths.all():
        if path.exists():
            raise KeysExist(f"{path}: a key is there already; new keys are made only where none are")
        files.make_folder(path.parent)
    vault, node = X25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    files.create(paths.vault_private, private_pem(vault))
    files.create(paths.node, private_pem(node))
    files.create(paths.node_public, public_pem(node.public_key()))
    files.create(paths.lookup, os.urandom(LOOKUP_KEY_BYTES).hex().encode() + b"\n")
    files.create(paths.vault_public, public_pem(vault.public_key()))


def load_recorder(paths: KeyPaths) -> RecorderKeys:
    """The keys a gateway records with. Raises KeysError."""
    return RecorderKeys(
        load_vault_public(paths.vault_public), load_node(paths.node), load_lookup(paths.lookup)
    )


def load_vault_public(path: Path) -> VaultPublicKey:
    return VaultPublicKey(_load(_read(path), path, X25519PublicKey, load_pem_public_key))


def load_private(path: Path) -> X25519PrivateKey:
    key: X25519PrivateKey = _load(_read_private(path), path, X25519PrivateKey, _parse_private)
    return key


def load_node(path: Path) -> NodeKey:
    return NodeKey(_load(_read_private(path), path, Ed25519PrivateKey, _parse_private))


def load_node_public(path: Path) -> NodePublicKey:
    return NodePublicKey(_load(_read(path), path, Ed25519PublicKey, load_pem_public_key))


def load_lookup(path: Path) -> bytes:
    try:
        key = bytes.fromhex(_read_private(path).decode("ascii"))
    except ValueError as error:
        raise KeyMalformed(f"{path}: is not {2 * LOOKUP_KEY_BYTES} hexadecimal digits") from error
    if len(key) != LOOKUP_KEY_BYTES:
        raise KeyMalformed(f"{path}: holds {len(key)} bytes, a lookup key has {LOOKUP_KEY_BYTES}")
    return key


def private_pem(key: X25519PrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: X25519PublicKey | Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _parse_private(pem: bytes) -> object:
    return load_pem_private_key(pem, None)


def _load(pem: bytes, path: Path, kind: type[Any], parse: Callable[[bytes], object]) -> Any:
    try:
        key = parse(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyMalformed(f"{path}: is not a PEM key that can be read without a password") from error
    if not isinstance(key, kind):
        raise KeyMalformed(f"{path}: holds a {type(key).__name__}, a {kind.__name__} is needed")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise KeyMissing(
            f"{path}: the key is not there; `hushtap keys init` makes the keys of a new vault"
        ) from error
    except OSError as error:
        raise KeysError(f"{path}: the key cannot be read: {error.strerror}") from error


def _read_private(path: Path) -> bytes:
    data = _read(path)
    mode = path.stat().st_mode & 0o777
    if mode & files.OTHERS:
        raise KeyExposed(f"{path}: has mode {mode:04o}, so others can reach the key; it must be 0600")
    return data
