"""What the wheel of pjsua2 does not wrap: players, the conference bridge, codecs and RTP ports, by pjsip's own C functions.

The wheel (pjsua2-pybind11 0.1a3, pjsip 2.14.1) brings pjsip's libraries beside the module; they are loaded a second
time by name, which gives the same ones. Every call releases the interpreter's lock while it lasts. Nothing here is safe
before `pjsua2.Endpoint.libCreate`, but for `silence`.
"""

from __future__ import annotations

import ctypes
import struct
from ctypes import byref, c_char_p, c_int, c_long, c_ubyte, c_uint, c_void_p
from pathlib import Path

import pjsua2

FOLDER = "pjsua2_pybind11.libs"
HASH = "[0-9a-f]" * 8  # in the names of libraries that wheels bring
NO_LOOP = 1  # PJMEDIA_FILE_NO_LOOP
UNHOLD = 1  # PJSUA_CALL_UNHOLD
PATH_CHARACTERS = 511  # PJ_MAXPATH less one
INVALID = -1
ACCOUNT_BYTES = 1 << 14  # more than a pjsua_acc_config has
DEFAULT_RTP_PORT = 4000  # in a fresh pjsua_acc_config, by which the place of `rtp_cfg` is known


class PjsipFault(Exception):
    """A function of pjsip refused; the text names it and its status."""


class String(ctypes.Structure):
    """pj_str_t; keeps its octets alive."""

    _fields_ = (("ptr", c_char_p), ("slen", c_long))

    @classmethod
    def of(cls, text: str) -> String:
        octets = text.encode()
        return cls(octets, len(octets))


class CodecInfo(ctypes.Structure):
    """pjsua_codec_info."""

    _fields_ = (("id", String), ("priority", c_ubyte), ("desc", String), ("buffer", ctypes.c_char * 64))


END_OF_FILE = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)


def _library(name: str) -> ctypes.CDLL:
    folder = Path(pjsua2.__file__).parent / FOLDER
    found = sorted(folder.glob(f"lib{name}-{HASH}.so*"))
    if len(found) != 1:
        raise PjsipFault(f"the library {name} is not beside pjsua2: the version is not the one known")
    return ctypes.CDLL(str(found[0]))


class Pjsip:
    """The functions, their failures as PjsipFault."""

    def __init__(self) -> None:
        """Raises PjsipFault."""
        self._texts: tuple[String, ...] = ()
        self._played: set[int] = set()  # players that took their last sample
        # One for all players, and for ever: it is called in a thread of pjsip's, perhaps when a player is gone.
        self._at_end = END_OF_FILE(lambda port, number: self._played.add(number))
        self._core = _library("pj")
        self._pjsua = _library("pjsua")
        self._media = _library("pjmedia")
        self._pjsua.pjsua_pool_create.restype = c_void_p
        self._pjsua.pjsua_pool_create.argtypes = (c_char_p, ctypes.c_size_t, ctypes.c_size_t)
        self._pjsua.pjsua_acc_get_config.argtypes = (c_int, c_void_p, c_void_p)
        self._pjsua.pjsua_acc_modify.argtypes = (c_int, c_void_p)
        self._media.pjmedia_wav_player_set_eof_cb2.argtypes = (c_void_p, c_void_p, END_OF_FILE)

    def silence(self) -> None:
        """No log at all: pjsip's tells numbers and digits."""
        self._core.pj_log_set_level(0)

    def handle_events(self, milliseconds: int) -> None:
        """Wait so long for something to happen and act on it: callbacks run in here, of signalling and of media."""
        self._pjsua.pjsua_handle_events(c_uint(milliseconds))

    def answer(self, call: int, status: int) -> None:
        self._check("pjsua_call_answer", call, c_uint(status), None, None)

    def hang_up(self, call: int, status: int) -> None:
        self._check("pjsua_call_hangup", call, c_uint(status), None, None)

    def hold(self, call: int, on: bool) -> None:
        if on:
            self._check("pjsua_call_set_hold", call, None)
        else:
            self._check("pjsua_call_reinvite", call, c_uint(UNHOLD), None)

    def dial_key(self, call: int, key: str) -> None:
        """As RFC 4733 events. Raises PjsipFault where the peer takes none."""
        text = String.of(key)
        self._check("pjsua_call_dial_dtmf", call, byref(text))

    def port_of_call(self, call: int) -> int:
        """Its place on the bridge; INVALID: it has none now."""
        return int(self._pjsua.pjsua_call_get_conf_port(call))

    def connect(self, source: int, sink: int) -> None:
        self._check("pjsua_conf_connect", source, sink)

    def disconnect(self, source: int, sink: int) -> None:
        self._pjsua.pjsua_conf_disconnect(source, sink)

    def codecs(self, wanted: tuple[str, ...]) -> None:
        """Offer and take these only, the first most gladly; each as `PCMA/8000`."""
        infos, count = (CodecInfo * 64)(), c_uint(64)
        self._check("pjsua_enum_codecs", infos, byref(count))
        for info in infos[: count.value]:
            name = ctypes.string_at(info.id.ptr, info.id.slen).decode()
            place = next((at for at, each in enumerate(wanted) if name.upper().startswith(each)), None)
            priority = 0 if place is None else 200 - place
            self._check("pjsua_codec_set_priority", byref(info.id), c_ubyte(priority))

    def place_media(self, account: int, public: str, bound: str, first_port: int, ports: int) -> None:
        """Where an account's calls receive RTP, and what descriptions say of it. Raises PjsipFault."""
        config = ctypes.create_string_buffer(ACCOUNT_BYTES)
        self._pjsua.pjsua_acc_config_default(config)
        at = _rtp_offset(config.raw)
        pool = self._pjsua.pjsua_pool_create(b"account", 4096, 4096)
        self._check("pjsua_acc_get_config", account, pool, config)
        struct.pack_into("=IIi", config, at, first_port, ports, 0)
        self._texts = (String.of(public), String.of(bound))  # pjsip keeps what they point to, and no copy
        for place, text in zip((at + 16, at + 32), self._texts, strict=True):  # public_addr, bound_addr
            ctypes.memmove(ctypes.addressof(config) + place, byref(text), ctypes.sizeof(String))
        self._check("pjsua_acc_modify", account, config)

    def player(self, path: str, loop: bool) -> Player:
        """Raises PjsipFault where the file cannot be played."""
        if len(path.encode()) > PATH_CHARACTERS:
            raise PjsipFault(f"the name of a file is longer than {PATH_CHARACTERS} characters")
        number, name = c_int(INVALID), String.of(path)
        self._check("pjsua_player_create", byref(name), c_uint(0 if loop else NO_LOOP), byref(number))
        player = Player(self._pjsua, number.value, self._played)
        if not loop:
            port, mark = c_void_p(), c_void_p(number.value + 1)
            status = self._pjsua.pjsua_player_get_port(number, byref(port))
            if status or self._media.pjmedia_wav_player_set_eof_cb2(port, mark, self._at_end):
                player.close()
                raise PjsipFault("a player does not tell its end")
        return player

    def _check(self, name: str, *arguments: object) -> None:
        status = getattr(self._pjsua, name)(*arguments)
        if status:
            raise PjsipFault(f"{name} gave status {status}")


class Player:
    """A file on the bridge. `close` ends it."""

    def __init__(self, pjsua: ctypes.CDLL, number: int, played: set[int]) -> None:
        self._pjsua, self._number, self._played = pjsua, number, played
        played.discard(number + 1)
        self.port = int(pjsua.pjsua_player_get_conf_port(number))

    @property
    def ended(self) -> bool:
        """Whether the last sample was taken, of one that does not go round and round."""
        return self._number + 1 in self._played

    def close(self) -> None:
        self._pjsua.pjsua_player_destroy(self._number)


def _rtp_offset(config: bytes) -> int:
    """Where in a fresh pjsua_acc_config `rtp_cfg` begins: port, range, randomize, two strings (aligned to 8)."""
    found = [
        at
        for at in range(0, len(config) - 48, 8)
        if struct.unpack_from("=I", config, at)[0] == DEFAULT_RTP_PORT and not any(config[at + 4 : at + 48])
    ]
    if len(found) != 1:
        raise PjsipFault(
            "the account's settings have another form: the version of pjsua2 is not the one known"
        )
    return found[0]
