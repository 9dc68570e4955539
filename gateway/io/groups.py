"""Calls that belong together: the two sessions of a pair, and the sessions of a group that follow each other."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from gateway.io.running_call import Live
from gateway.recording.model import Participant
from gateway.siprec.metadata import Metadata

MAX_GROUPS = 4096  # groups remembered, for calls that come later: an hour of a busy gateway


class Groups:
    """Who waits for whom; nothing here outlives the process."""

    def __init__(self) -> None:
        self._pairs: dict[str, asyncio.Future[Live | None]] = {}
        self._lingering: dict[str, Live] = {}
        self._latest: OrderedDict[str, str] = OrderedDict()  # the last call of a group

    def partner(self, key: str) -> asyncio.Future[Live | None] | None:
        """The call that the other session of a pair opens or has opened."""
        return self._pairs.get(key)

    def expect(self, key: str) -> asyncio.Future[Live | None]:
        """This session opens the call of a pair."""
        self._pairs[key] = asyncio.get_running_loop().create_future()
        return self._pairs[key]

    def drop(self, key: str) -> None:
        """The session that was to open the call of a pair was refused."""
        self._pairs.pop(key, None)

    def linger(self, group: str, live: Live) -> None:
        self._lingering[group] = live

    def resume(self, group: str, metadata: Metadata) -> Live | None:
        """The call of this group that waits to be carried on. One party at least must be in both: some clients
        give every call the same group."""
        live = self._lingering.get(group)
        if live is None or not _acquainted(live.call.segment.participants, metadata):
            return None
        return self._lingering.pop(group)

    def before(self, group: str) -> str | None:
        """The last call of a group."""
        return self._latest.get(group)

    def remember(self, group: str, call_id: str) -> None:
        self._latest[group] = call_id
        self._latest.move_to_end(group)
        if len(self._latest) > MAX_GROUPS:
            self._latest.popitem(last=False)

    def forget(self, live: Live) -> None:
        """The call is over."""
        if live.group and self._lingering.get(live.group) is live:
            del self._lingering[live.group]
        if live.pair:
            self._pairs.pop(live.pair, None)


def _acquainted(people: tuple[Participant, ...], metadata: Metadata) -> bool:
    numbers = {person.number for person in people if person.number}
    return any(party.real and party.user in numbers for party in metadata.participants)
