"""SRTP, received (RFC 3711, RFC 6188, RFC 7714): a leg's packets of one batch are opened in place, by libsrtp.

This is the one step of the media path that goes packet by packet: every packet has a tag of its own,
and libsrtp takes one at a time.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from pylibsrtp import Error, Policy, Session
from pylibsrtp._binding import ffi

from gateway.rtp.packets import HEADER, REFUSED, RTCP_FIRST, RTCP_LAST, Ints, Octets, PacketBatch
from gateway.rtp.suites import SUITES, MasterKey

WINDOW = 4096  # packets back that are told from replayed ones: more than any hold-back keeps
# A stream whose beginning was not heard under a key (it is a new one, or this process is a replacement) has rolled
# over an unknown number of times: so many are tried, 5.8 hours of 20 ms packets, on so many packets of a batch.
ROLLOVERS_TRIED = 16
SEARCHES = 2
FIXED_HEADER = struct.Struct(">BBHII")
STRIDE = 0x4000  # sequence numbers that one packet can lead libsrtp on without doubt
GENERATIONS = 2  # keys in use at once: the latest, and the one before it for packets under way
MAX_STREAMS = 64  # SSRCs that one key is remembered to have opened


PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
# struct srtp_crypto_policy_t of libsrtp 2: cipher, its key and salt, HMAC-SHA1 with its key, tag, both services.
CRYPTO_POLICY = struct.Struct("=IiIiiI")
AES_ICM_256, HMAC_SHA1, HMAC_KEY_BYTES, CONFIDENTIALITY_AND_AUTHENTICATION = 5, 3, 20, 3


class _Key:
    """A master key at work; each SSRC has its own count of rollovers."""

    def __init__(self, master: MasterKey) -> None:
        self._master = master
        self._suite = SUITES[master.suite]
        self._session = Session(_policy(master, Policy.SSRC_ANY_INBOUND))
        self._later: dict[int, Session] = {}  # streams joined after they had rolled over

    def open(self, packet: bytes, ssrc: int) -> bytes | str:
        """The RTP packet, or what is wrong with it."""
        bare = self._without_mki(packet) if self._master.mki else packet
        return _unprotect(self._later.get(ssrc, self._session), bare)

    def search(self, packet: bytes, ssrc: int) -> bytes | str:
        """Lead a session through rollovers, by packets made with the same key, until one fits the packet."""
        bare = self._without_mki(packet)
        sender = Session(_policy(self._master, Policy.SSRC_ANY_OUTBOUND))
        session = Session(_policy(self._master, Policy.SSRC_ANY_INBOUND))
        sequence = int.from_bytes(packet[2:4])
        # The last step before the packet is half a stride below it: further back than replays are looked for.
        for index in range((sequence + STRIDE // 2) % STRIDE, ROLLOVERS_TRIED << 16, STRIDE):
            session.unprotect(sender.protect(FIXED_HEADER.pack(0x80, 0, index & 0xFFFF, 0, ssrc)))
            if sequence - index & 0xFFFF == STRIDE // 2:
                plain = _unprotect(session, bare)
                if isinstance(plain, bytes):
                    if len(self._later) >= MAX_STREAMS:
                        self._later.clear()
                    self._later[ssrc] = session
                    return plain
        return "srtp_auth"

    def _without_mki(self, packet: bytes) -> bytes:
        """A packet that names another key loses its tag, so that it cannot be taken."""
        mki = self._master.mki
        end = len(packet) - (self._suite.tag if self._suite.tag_last else 0)
        return (
            packet[: end - len(mki)] + packet[end:] if packet[end - len(mki) : end] == mki else packet[:end]
        )


class Opener:
    """One leg's keys."""

    def __init__(self, masters: Sequence[MasterKey]) -> None:
        self._generations: list[tuple[tuple[MasterKey, ...], list[_Key]]] = []
        self._known: dict[int, _Key] = {}  # by SSRC
        self._heard: set[int] = set()  # SSRCs opened so far, under whatever key
        self.rekey(masters)

    def rekey(self, masters: Sequence[MasterKey]) -> None:
        """The keys in force from now on; the same ones again change nothing."""
        offered = tuple(masters)
        if self._generations and self._generations[0][0] == offered:
            return
        self._generations.insert(0, (offered, [_Key(master) for master in offered]))
        del self._generations[GENERATIONS:]
        self._known.clear()

    def open(self, slots: Octets, rows: Ints, sizes: Ints, faults: Counter[str]) -> int:
        """Decrypt some rows of a batch in place; `sizes`, of all rows, become those of plain RTP, or REFUSED.

        SRTCP is left as it is. Returns how many packets no key fits though their stream was opened before.
        """
        searches, unreadable = SEARCHES, 0
        for row in rows.tolist():
            packet = slots[row, : sizes[row]].tobytes()
            if len(packet) < HEADER.itemsize or RTCP_FIRST <= packet[1] <= RTCP_LAST:
                continue
            ssrc = int.from_bytes(packet[8:12])
            key = self._known.get(ssrc)
            answer = key.open(packet, ssrc) if key else "srtp_auth"
            if answer == "srtp_auth":
                keys = [each for _, generation in self._generations for each in generation]
                answer = self._try(packet, ssrc, keys, _Key.open)
            # A stream keeps its count of rollovers when its key changes (RFC 3711 section 3.3.1).
            unused = [each for each in self._generations[0][1] if each is not key]
            if answer == "srtp_auth" and searches and unused:
                searches -= 1
                answer = self._try(packet, ssrc, unused, _Key.search)
            if isinstance(answer, str):
                faults[answer] += 1
                unreadable += answer == "srtp_auth" and ssrc in self._heard
                sizes[row] = REFUSED
            else:
                sizes[row] = len(answer)
                slots[row, : len(answer)] = np.frombuffer(answer, np.uint8)
        return unreadable

    def _try(
        self, packet: bytes, ssrc: int, keys: Sequence[_Key], way: Callable[[_Key, bytes, int], bytes | str]
    ) -> bytes | str:
        """Find the key of a stream that is new, or whose key has changed."""
        for key in keys:
            answer = way(key, packet, ssrc)
            if isinstance(answer, bytes):
                if len(self._known) >= MAX_STREAMS:
                    self._known.clear()
                    self._heard.clear()
                self._known[ssrc] = key
                self._heard.add(ssrc)
            if answer != "srtp_auth":
                return answer
        return "srtp_auth"


class Openers:
    """The keys of all legs of a worker that carry SRTP."""

    def __init__(self, capacity: int) -> None:
        # Packets of known streams under a key that was not told.
        self.unreadable = np.zeros(capacity, np.int64)
        self._secured = np.zeros(capacity, np.bool_)
        self._openers: dict[int, Opener] = {}

    def secure(self, leg: int, keys: Sequence[MasterKey]) -> None:
        """The leg carries SRTP under these keys from now on; without any, RTP."""
        self._secured[leg] = bool(keys)
        if keys and leg in self._openers:
            self._openers[leg].rekey(keys)
        elif keys:
            self._openers[leg] = Opener(keys)
        else:
            self._openers.pop(leg, None)

    def open(self, batch: PacketBatch, faults: Counter[str]) -> None:
        """Decrypt a batch in place, as Opener does, leg by leg."""
        rows = np.flatnonzero(self._secured[batch.legs]) if self._openers else np.zeros(0, np.int64)
        for group in np.split(rows, np.flatnonzero(np.diff(batch.legs[rows])) + 1):
            if len(group):
                leg = int(batch.legs[group[0]])
                self.unreadable[leg] += self._openers[leg].open(batch.slots, group, batch.sizes, faults)


def _unprotect(session: Session, packet: bytes) -> bytes | str:
    try:
        return session.unprotect(packet)
    except Error as error:
        return "srtp_replay" if "replay" in str(error) or "old" in str(error) else "srtp_auth"
    except ValueError:
        return "length"


def _policy(master: MasterKey, ssrcs: int) -> Policy:
    profile = PROFILES.get(master.suite)
    if profile is None:
        policy: Policy = Aes256Policy(master, ssrcs)
    else:
        policy = Policy(master.secret, ssrcs, srtp_profile=profile)
    policy.window_size = WINDOW
    return policy


class Aes256Policy(Policy):
    """AES-256 in counter mode (RFC 6188): the binding has no name for it, so libsrtp's structure is written."""

    def __init__(self, master: MasterKey, ssrcs: int) -> None:
        super().__init__(ssrc_type=ssrcs)
        tag = SUITES[master.suite].tag
        words = (
            AES_ICM_256,
            len(master.secret),
            HMAC_SHA1,
            HMAC_KEY_BYTES,
            tag,
            CONFIDENTIALITY_AND_AUTHENTICATION,
        )
        ffi.buffer(ffi.addressof(self._policy, "rtp"))[:] = CRYPTO_POLICY.pack(*words)
        self._secret = ffi.new("unsigned char[]", master.secret)  # libsrtp reads it while a session is made
        self._policy.key = self._secret
