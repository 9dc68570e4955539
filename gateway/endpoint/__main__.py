"""One endpoint process: `python -m gateway.endpoint CHANNEL`, where CHANNEL is the number of its socket."""

from __future__ import annotations

import signal
import socket
import sys

from gateway.endpoint.agent import serve


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: control decides when calls end
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        serve(channel)


if __name__ == "__main__":
    main()
