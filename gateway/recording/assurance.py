"""Why a call is not recorded as a whole, in classes: what operations count beside the sentence in the call's record."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Why(StrEnum):
    """In the order in which one of several counts: what is ours to mend first, what somebody wanted last."""

    WORKER = "worker"  # a media worker was lost
    STORAGE = "storage"  # the storage refused what was written
    SETUP = "setup"  # something of ours failed while a call, a leg or a segment was opened
    REFUSED = (
        "refused"  # no room for it, or no codec that is known: hushtap_refused_requests_total says which
    )
    UNREADABLE = "unreadable"  # SRTP under a key that was not told
    STREAMS = "streams"  # more streams than two
    ONE_LEG = "one_leg"  # one party was never heard
    NO_MEDIA = "no_media"  # answered, and no audio came at all, or none any more
    CHOICE = "choice"  # opted out, never recorded, or discarded
    UNANSWERED = "unanswered"  # nobody took the call that a tap overheard


ORDER = tuple(Why)


def chief(found: Iterable[Why]) -> Why:
    """The one of several that counts. Of none: CHOICE, for a call that lacks nothing else lacks what was not wanted."""
    return min(found, key=ORDER.index, default=Why.CHOICE)
