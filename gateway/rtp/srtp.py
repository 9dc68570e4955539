"""SRTP, received (RFC 3711, RFC 6188, RFC 7714): the keys of one leg, and what is done with a packet that is strange.

Strange is the first packet of a stream, the first one under another key, and one that no key fits; `opening.py` opens
all others by the batch, with the sessions of libsrtp that were found here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pylibsrtp import ERRORS, Error, Policy, Session
from pylibsrtp._binding import ffi

from gateway.rtp.suites import SUITES, MasterKey

# What libsrtp says of a packet that came before, or so late that nobody knows: places among the binding's errors.
REPLAYED = tuple(code for code, error in enumerate(ERRORS) if "replay" in error or "old" in error)
WINDOW = 4096  # packets back that are told from replayed ones: more than any hold-back keeps
# A stream whose beginning was not heard under a key (it is a new one, or this process is a replacement) has rolled
# over an unknown number of times: so many are tried, 5.8 hours of 20 ms packets.
ROLLOVERS_TRIED = 16
FIXED_HEADER = struct.Struct(">BBHII")
STRIDE = 0x4000  # sequence numbers that one packet can lead libsrtp on without doubt
GENERATIONS = 2  # keys in use at once: the latest, and the one before it for packets under way
MAX_STREAMS = 64  # SSRCs that a key, and a leg, is remembered to have opened; the one first heard is given up


PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
# struct srtp_crypto_policy_t of libsrtp 2: cipher, its key and salt, HMAC-SHA1 with its key, tag, both services.
CRYPTO_POLICY = struct.Struct("=IiIiiI")
AES_ICM_256, HMAC_SHA1, HMAC_KEY_BYTES, CONFIDENTIALITY_AND_AUTHENTICATION = 5, 3, 20, 3


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """What opens the packets of one SSRC."""

    session: Session = field(repr=False)
    pointer: Any = field(repr=False)  # to the session, as libsrtp takes it
    mki: bytes = b""  # that each packet carries
    tail: int = 0  # octets behind the identifier

    @classmethod
    def of(cls, session: Session, mki: bytes = b"", tail: int = 0) -> Stream:
        return cls(session, session._srtp[0], mki, tail if mki else 0)

    def laid_as(self, other: Stream) -> bool:
        """Whether packets of both look alike but for their keys."""
        return (self.mki, self.tail) == (other.mki, other.tail)


# The stream of an SSRC that is not known: a session without keys refuses whatever comes.
NOBODY = Stream.of(Session())


class _Key:
    """A master key at work; each SSRC has its own count of rollovers."""

    def __init__(self, master: MasterKey) -> None:
        self._master = master
        suite = SUITES[master.suite]
        self._tail = suite.tag if suite.tag_last else 0
        session = Session(_policy(master, Policy.SSRC_ANY_INBOUND))
        self._from_the_start = Stream.of(session, master.mki, self._tail)
        self.streams: dict[int, Stream] = {}  # opened so far, by SSRC; the one first heard first

    def open(self, packet: bytes, ssrc: int) -> bytes | str:
        """The RTP packet, or what is wrong with it."""
        stream = self.streams.get(ssrc, self._from_the_start)
        answer = _unprotect(stream.session, self._without_mki(packet))
        if isinstance(answer, bytes):
            self.streams[ssrc] = stream
        return answer

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
                    self.streams[ssrc] = Stream.of(session, self._master.mki, self._tail)
                    return plain
        return "srtp_auth"

    def forget_first(self) -> tuple[int, Stream]:
        """Give up the SSRC that was heard first."""
        ssrc = next(iter(self.streams))
        stream = self.streams.pop(ssrc)
        if stream is self._from_the_start:
            stream.session.remove_stream(ssrc)
        return ssrc, stream

    def _without_mki(self, packet: bytes) -> bytes:
        """A packet that names another key loses its tag, so that it cannot be taken."""
        mki = self._master.mki
        if not mki:
            return packet
        end = len(packet) - self._tail
        return (
            packet[: end - len(mki)] + packet[end:] if packet[end - len(mki) : end] == mki else packet[:end]
        )


class Opener:
    """One leg's keys, and the streams that they have opened."""

    def __init__(self, masters: Sequence[MasterKey]) -> None:
        self._generations: list[tuple[tuple[MasterKey, ...], list[_Key]]] = []
        self.known: dict[int, Stream] = {}  # by SSRC, by what opened its last packet
        self._heard: dict[int, None] = {}  # SSRCs opened so far, under whatever key
        self.rekey(masters)

    def rekey(self, masters: Sequence[MasterKey]) -> None:
        """The keys in force from now on; the same ones again change nothing."""
        offered = tuple(masters)
        if self._generations and self._generations[0][0] == offered:
            return
        self._generations.insert(0, (offered, [_Key(master) for master in offered]))
        del self._generations[GENERATIONS:]
        self.known.clear()

    def open(self, packet: bytes, ssrc: int) -> bytes | str:
        """The RTP packet, or what is wrong with it; the key is found of a stream that is new, or whose key has changed."""
        known = self._key_of(ssrc)
        # That of the stream first: what another key makes of its replayed packets says nothing.
        for key in sorted(self._keys(), key=lambda each: each is not known):
            answer = key.open(packet, ssrc)
            if isinstance(answer, bytes):
                self._learn(key, ssrc)
            if answer != "srtp_auth":
                return answer
        return "srtp_auth"

    def searchable(self, ssrc: int) -> bool:
        """Whether there are keys under which the stream's rollovers are not known."""
        return any(key is not self._key_of(ssrc) for key in self._generations[0][1])

    def search(self, packet: bytes, ssrc: int) -> bytes | str:
        """Open a packet of a stream that has rolled over: it keeps its count when its key changes (RFC 3711 section 3.3.1)."""
        known = self._key_of(ssrc)
        for key in self._generations[0][1]:
            answer = key.search(packet, ssrc) if key is not known else "srtp_auth"
            if isinstance(answer, bytes):
                self._learn(key, ssrc)
                return answer
        return "srtp_auth"

    def heard(self, ssrc: int) -> bool:
        """Whether packets of the stream were opened before."""
        return ssrc in self._heard

    def trim(self) -> None:
        """Give up streams beyond the limit. Never within a batch, which holds sessions of libsrtp."""
        for key in self._keys():
            while len(key.streams) > MAX_STREAMS:
                ssrc, stream = key.forget_first()
                if self.known.get(ssrc) is stream:
                    del self.known[ssrc]
        while len(self._heard) > MAX_STREAMS:
            del self._heard[next(iter(self._heard))]

    def _keys(self) -> list[_Key]:
        return [key for _, generation in self._generations for key in generation]

    def _key_of(self, ssrc: int) -> _Key | None:
        """The key that opened the last packet of a stream."""
        stream = self.known.get(ssrc)
        return next((key for key in self._keys() if stream and key.streams.get(ssrc) is stream), None)

    def _learn(self, key: _Key, ssrc: int) -> None:
        self.known[ssrc] = key.streams[ssrc]
        self._heard[ssrc] = None


def _unprotect(session: Session, packet: bytes) -> bytes | str:
    try:
        return session.unprotect(packet)
    except Error as error:
        return "srtp_replay" if ERRORS.index(str(error)) in REPLAYED else "srtp_auth"
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
