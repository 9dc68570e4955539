"""All media workers: as many as there are cores to spare, each kept alive by a supervisor of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial

from gateway.config.settings import MediaSettings
from gateway.io.channel import Configure
from gateway.io.progress import Progress
from gateway.io.supervisor import Supervisor
from gateway.io.tap_messages import Attach
from gateway.recording.messages import Command
from gateway.recording.spread import worker_count


def count_workers(media: MediaSettings) -> int:
    """How many the settings ask for, on the cores that this process may use."""
    return worker_count(media.workers, len(os.sched_getaffinity(0)))


class Workers:
    """Numbered from 0; `progress` hears each, and gives the one that replaces it what its calls need.

    `attached` gives the taps of each, with their sockets.
    """

    def __init__(
        self,
        configure: Configure,
        count: int,
        progress: Progress,
        attached: Callable[[int], Sequence[tuple[Attach, Sequence[int]]]] = lambda worker: (),
    ) -> None:
        self._supervisors = [
            Supervisor(
                configure,
                partial(progress.heard, number),
                partial(progress.worker_lost, number),
                partial(progress.resume, number),
                number,
                attached(number),
            )
            for number in range(count)
        ]

    async def start(self) -> None:
        """Start all and wait until they can record. Raises WorkerFailed."""
        starts = (each.start() for each in self._supervisors)
        for failed in await asyncio.gather(*starts, return_exceptions=True):
            if failed is not None:
                raise failed

    def tell(self, worker: int, command: Command, sockets: Sequence[int] = ()) -> None:
        """Give one worker a command about a call that it has."""
        self._supervisors[worker].send(command, sockets)

    async def stop(self) -> None:
        """End all once their files are whole."""
        await asyncio.gather(*(each.stop() for each in self._supervisors))
