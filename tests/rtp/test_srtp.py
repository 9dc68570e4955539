from __future__ import annotations

import hmac
import struct
from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from hypothesis import given, settings
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from gateway.rtp.opening import Openers
from gateway.rtp.packets import REFUSED, PacketBatch
from gateway.rtp.srtp import PROFILES
from gateway.rtp.suites import SUITES, MasterKey

SSRC = 0xCAFE


def key(suite: str, seed: int = 1, mki: bytes = b"") -> MasterKey:
    sizes = SUITES[suite]
    return MasterKey(suite, Random(seed).randbytes(sizes.key + sizes.salt), mki)


def rtp(index: int, payload: bytes = b"", ssrc: int = SSRC) -> bytes:
    body = payload or Random(index).randbytes(160)
    return struct.pack(">BBHII", 0x80, 8, index & 0xFFFF, index * 160 & 0xFFFFFFFF, ssrc) + body


def sender(master: MasterKey) -> Session:
    return Session(Policy(master.secret, Policy.SSRC_ANY_OUTBOUND, srtp_profile=PROFILES[master.suite]))


def under(*masters: MasterKey) -> Openers:
    """Leg 0, and the keys that were told of it."""
    openers = Openers(1)
    openers.secure(0, masters)
    return openers


def opened(openers: Openers, packets: Sequence[bytes]) -> tuple[list[bytes | None], Counter[str]]:
    """One batch of leg 0."""
    slots = np.zeros((len(packets), 1600), np.uint8)
    for slot, packet in zip(slots, packets, strict=True):
        slot[: len(packet)] = np.frombuffer(packet, np.uint8)
    sizes = np.array([len(packet) for packet in packets], np.int64)
    faults: Counter[str] = Counter()
    openers.open(PacketBatch(slots, sizes, sizes * 0, sizes * 0), faults)
    plain = [
        None if size == REFUSED else slot[:size].tobytes()
        for slot, size in zip(slots, sizes.tolist(), strict=True)
    ]
    return plain, faults


@pytest.mark.parametrize("suite", PROFILES)
def test_what_libsrtp_protects_is_opened_through_rollovers(suite: str) -> None:
    master = key(suite)
    protect = sender(master).protect
    opener = under(master)
    for start in range(65_000, 132_000, 1000):
        plain = [rtp(index) for index in range(start, start + 10)]
        assert opened(opener, [protect(packet) for packet in plain]) == (plain, Counter())


def aes_cm(master: bytes, salt: bytes, label: int, size: int) -> bytes:
    start = int.from_bytes(salt) ^ label << 48
    return Cipher(AES(master), CTR((start << 16).to_bytes(16))).encryptor().update(bytes(size))


@pytest.mark.parametrize("suite", ["AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32"])
def test_aes_256_counter_mode_as_rfc_6188_says(suite: str) -> None:
    master = key(suite)
    secret, salt = master.secret[:32], master.secret[32:]
    encryption, authentication, session_salt = (
        aes_cm(secret, salt, label, size) for label, size in enumerate((32, 20, 14))
    )
    index = 3
    plain = rtp(index)
    start = int.from_bytes(session_salt) << 16 ^ SSRC << 64 ^ index << 16
    sealed = plain[:12] + Cipher(AES(encryption), CTR(start.to_bytes(16))).encryptor().update(plain[12:])
    tag = hmac.digest(authentication, sealed + bytes(4), "sha1")[: SUITES[suite].tag]
    assert opened(under(master), [sealed + tag]) == ([plain], Counter())


def test_key_derivation_of_rfc_3711_appendix_b() -> None:
    """The session key, salt and authentication key that the RFC prints are those the reference above derives."""
    master, salt = (
        bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139"),
        bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6"),
    )
    assert aes_cm(master, salt, 0, 16).hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert aes_cm(master, salt, 2, 14).hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"
    assert aes_cm(master, salt, 1, 20).hex().upper().startswith("CEBE321F6FF7716B6FD4AB49AF256A15")


@pytest.mark.parametrize("suite", PROFILES)
def test_wrong_keys_changed_bytes_and_replays_are_refused_and_counted(suite: str) -> None:
    master = key(suite)
    sealed = [sender(master).protect(rtp(1)), sender(master).protect(rtp(2))]
    assert opened(under(key(suite, seed=2)), sealed) == ([None, None], Counter(srtp_auth=2))
    opener = under(master)
    changed = sealed[0][:20] + bytes([sealed[0][20] ^ 1]) + sealed[0][21:]
    assert opened(opener, [changed, sealed[0], sealed[0], sealed[1]]) == (
        [None, rtp(1), None, rtp(2)],
        Counter(srtp_auth=1, srtp_replay=1),
    )


@pytest.mark.parametrize("suite", PROFILES)
def test_a_stream_joined_after_rollovers(suite: str) -> None:
    master = key(suite)
    protect = sender(master).protect
    for index in range(0, 5 * 65536 + 40_000, 0x4000):
        protect(rtp(index))
    plain = [rtp(index) for index in range(5 * 65536 + 40_000, 5 * 65536 + 40_060)]
    assert opened(under(master), [protect(packet) for packet in plain]) == (plain, Counter())


@pytest.mark.parametrize("suite", PROFILES)
def test_identifiers_choose_among_keys(suite: str) -> None:
    masters = [key(suite, 1, b"\0\1"), key(suite, 2, b"\0\2")]
    opener = under(*masters)
    packets = []
    for index, master in enumerate(masters):
        sealed = sender(master).protect(rtp(index, ssrc=index))
        end = len(sealed) - (SUITES[suite].tag if SUITES[suite].tag_last else 0)
        packets.append(sealed[:end] + master.mki + sealed[end:])
    plain, faults = opened(opener, [*packets, packets[0][:-1]])
    assert plain[:2] == [rtp(0, ssrc=0), rtp(1, ssrc=1)]
    assert plain[2] is None
    assert sum(faults.values()) == 1


def test_a_new_key_takes_over_while_old_packets_are_under_way() -> None:
    old, new = key("AES_CM_128_HMAC_SHA1_80", 1), key("AES_CM_128_HMAC_SHA1_80", 2)
    before, after = sender(old).protect, sender(new).protect
    opener = under(old)
    assert opened(opener, [before(rtp(1))])[0] == [rtp(1)]
    opener.secure(0, [new])
    late, fresh = before(rtp(2)), after(rtp(3))
    assert opened(opener, [fresh, late]) == ([rtp(3), rtp(2)], Counter())
    opener.secure(0, [new])  # the same again, as in a refresh: what came before stays refused
    assert opened(opener, [fresh])[1] == Counter(srtp_replay=1)


def test_a_count_of_rollovers_outlives_a_new_key() -> None:
    """RFC 3711 section 3.3.1; packets under way still come under the key before."""
    old, new = key("AES_CM_128_HMAC_SHA1_80"), key("AES_CM_128_HMAC_SHA1_80", seed=2)
    before, after = sender(old).protect, sender(new).protect
    opener = under(old)
    plain = [rtp(index) for index in range(65_000, 66_200)]
    sent = [before(packet) for packet in plain[:1000]]
    for packet in plain[:1000]:
        after(packet)  # brings the sender to where the stream is
    sent += [after(packet) for packet in plain[1000:]]
    assert opened(opener, sent[:900]) == (plain[:900], Counter())
    opener.secure(0, [new])
    assert opened(opener, sent[900:]) == (plain[900:], Counter())


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=200), max_size=8))
def test_any_bytes_are_refused_without_harm(packets: list[bytes]) -> None:
    plain, faults = opened(under(key("AEAD_AES_128_GCM")), packets)
    left = [p for p in plain if p is not None]
    assert sum(faults.values()) + len(left) == len(packets)
    assert all(len(p) < 12 or 192 <= p[1] <= 223 for p in left)
