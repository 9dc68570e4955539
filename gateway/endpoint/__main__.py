"""One endpoint process: `python -m gateway.endpoint CHANNEL`, where CHANNEL is the number of its socket."""

from __future__ import annotations

import signal
import socket
import sys

from gateway.endpoint.agent import serve
from gateway.io.secrecy import refuse_dumps


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal signals all; the control process decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    refuse_dumps()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        serve(channel)


if __name__ == "__main__":
    main()
