"""How processes begin that work behind the gateway's back: for calls that are over, with audio and keys in memory."""

from __future__ import annotations

import os
import signal

from gateway.io.log import begin_childs_log
from gateway.io.secrecy import lock_memory, refuse_dumps

LEAST_PRIORITY = 19


def begin_in_background() -> None:
    """Yield to everything else, keep the memory to itself, and leave it to the control process when to end."""
    for signalled in (signal.SIGINT, signal.SIGTERM):  # a terminal signals all
        signal.signal(signalled, signal.SIG_IGN)
    begin_childs_log()
    os.nice(LEAST_PRIORITY)
    refuse_dumps()
    lock_memory()
