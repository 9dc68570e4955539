"""A stand-in for the `hushtap` command: answers SIP, keeps no audio, and tells of the calls it saw."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import tomllib
from pathlib import Path

CONFIG = Path(os.environ["HUSHTAP_CONFIG"])
SEEN = CONFIG.parent / "seen.json"
FAULT = os.environ.get("STUB_FAULT", "")


def row(index: int, number: str, ended: bool) -> dict[str, object]:
    leg = {
        "role": "external",
        "codec": "PCMA",
        "packets": 15,
        "lost": 0,
        "late": 0,
        "duplicated": 0,
        "seconds": 0.3,
    }
    state = "recorded" if ended else "recording"
    return {"id": f"call-{index}", "state": state, "participants": [{"number": number}], "legs": [leg]}


def serve() -> None:
    if FAULT == "dies":
        sys.exit(3)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sip = tomllib.loads(CONFIG.read_text())["sip"]
    server = socket.socket(type=socket.SOCK_DGRAM)
    server.bind((sip["address"], sip["port"]))
    seen: dict[str, tuple[str, bool]] = {}
    while True:
        data, peer = server.recvfrom(65_535)
        text = data.decode()
        method, call = text.split(" ", 1)[0], re.search(r"Call-ID: (\S+)", text)[1]  # type: ignore[index]
        if method == "INVITE":
            seen[call] = (re.search(r"sip:(\+\d+)@", text)[1], False)  # type: ignore[index]
        elif method == "BYE":
            seen[call] = (seen[call][0], True)
        fresh = SEEN.with_suffix(".new")
        fresh.write_text(json.dumps([row(index, *value) for index, value in enumerate(seen.values())]))
        fresh.replace(SEEN)
        if method != "ACK":
            server.sendto(answer(text, method), peer)


def answer(text: str, method: str) -> bytes:
    copied = "\r\n".join(re.findall(r"(?m)^(?:Via|From|To|Call-ID|CSeq): .*(?=\r)", text))
    body = ""
    if method == "INVITE":
        body = "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 8\r\nm=audio 9 RTP/AVP 8\r\n"
    status = "503 Service Unavailable" if FAULT == "full" and method == "INVITE" else "200 OK"
    contact = "Contact: <sip:srs@127.0.0.1>"
    return f"SIP/2.0 {status}\r\n{copied}\r\n{contact}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def main(command: str, *options: str) -> int:
    match command:
        case "serve":
            serve()
        case "calls":
            print(SEEN.read_text() if SEEN.exists() else "[]")
        case "verify":
            fine = FAULT != "forged"
            print(
                json.dumps(
                    [{"id": "r", "ok": fine, "segments": 9, "problem": None if fine else "byte 7 differs"}]
                )
            )
            return 0 if fine else 1
        case "export":
            Path(options[options.index("--output") + 1]).write_bytes(b"sound")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
