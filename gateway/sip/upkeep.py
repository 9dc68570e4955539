"""Is the other side of a dialog still there: session timers (RFC 4028), and OPTIONS asked when in doubt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

from gateway.sip import session_timer
from gateway.sip.answers import Fields
from gateway.sip.dialog import Dialog, DialogTimer
from gateway.sip.effects import Send
from gateway.sip.headers import MAGIC_COOKIE
from gateway.sip.layer import ClientKey, Owner, TransactionLayer, Watch, status_event
from gateway.sip.message import Request, Response, serialise
from gateway.sip.session_timer import Policy
from gateway.sip.timers import Timers
from gateway.sip.transaction import Timer

GONE = frozenset({404, 408, 410, 480, 481, 604})  # the dialog is not there any more, RFC 5057 section 5.1
RETRY_SECONDS = 10.0  # after a refresh was refused for now (491, 500, 503)


class Finding(Enum):
    ALIVE = auto()
    GONE = auto()


class Upkeep:
    """Sends requests within dialogs and judges what comes back; whoever holds it ends dialogs."""

    def __init__(
        self, layer: TransactionLayer, timers: Timers[Owner, Timer | DialogTimer], token: Callable[[], str],
        policy: Policy,
    ) -> None:  # fmt: skip
        self.policy = policy
        self._layer = layer
        self._timers = timers
        self._token = token

    def agree(self, dialog: Dialog, request: Request, now: float) -> Fields:
        """Begin the session's time anew, as the 2xx to this request says."""
        dialog.session = session_timer.agree(request, self.policy)
        self._rearm(dialog, now)
        return dialog.session.answer() if dialog.session else ()

    def due(self, dialog: Dialog, timer: Timer | DialogTimer, now: float) -> list[Send] | None:
        """A timer of a Watch is due: a refresh to send; None when the session has expired."""
        if timer is DialogTimer.EXPIRE or dialog.session is None or not dialog.session.ours:
            return None
        if not self._timers.armed(Watch(dialog.number), DialogTimer.EXPIRE):
            expires = now + dialog.session.last_chance()
            self._timers.arm(Watch(dialog.number), DialogTimer.EXPIRE, expires)
        return self._refresh(dialog, now)

    def probe(self, dialog: Dialog, now: float) -> list[Send]:
        """OPTIONS within the dialog; nothing when there is no way to send it."""
        return self._send("OPTIONS", dialog, (), b"", now)

    def answered(self, dialog: Dialog, key: ClientKey, answer: Response, now: float) -> Finding | None:
        """A final answer to a request of ours but BYE; what it says of the other side."""
        if answer.status in GONE:
            return Finding.GONE
        if key.method != "OPTIONS":
            self._refreshed(dialog, key, answer, now)
            return None
        return Finding.ALIVE

    def acknowledge(self, dialog: Dialog, key: ClientKey, answer: Response, now: float) -> list[Send]:
        """The ACK to an answer to our re-INVITE, again for each time it comes."""
        entry = self._layer.get(key)
        assert entry is not None
        event = status_event(answer.status)
        if answer.status < 200:
            return self._layer.drive(key, event, now)
        branch = self._branch() if answer.status < 300 else key.branch
        ack = dialog.acknowledgement(entry.request, branch, entry.flow, answer)
        return self._layer.drive(key, event, now, serialise(ack))

    def _refresh(self, dialog: Dialog, now: float) -> list[Send]:
        assert dialog.session is not None
        fields = dialog.session.request(self.policy.least)
        if dialog.peer_updates or not dialog.description:
            return self._send("UPDATE", dialog, fields, b"", now)
        fields = (*fields, ("Content-Type", "application/sdp"))
        return self._send("INVITE", dialog, fields, dialog.description, now)

    def _send(self, method: str, dialog: Dialog, fields: Fields, body: bytes, now: float) -> list[Send]:
        if dialog.flow is None:
            return []
        key = ClientKey(method, self._branch())
        request = dialog.request(method, key.branch, dialog.flow, fields, body)
        return self._layer.call(key, request, dialog.bye_flow(dialog.flow), dialog.number, now)

    def _refreshed(self, dialog: Dialog, key: ClientKey, answer: Response, now: float) -> None:
        """Any answer shows that somebody is there; only a 2xx is a refresh (section 7.2, 10)."""
        session = dialog.session
        if session is None:
            return
        if answer.status < 300:
            told = session_timer.asked(answer.headers)
            if told:
                ours = told.refresher != "uas"
                dialog.session = replace(session, seconds=max(told.seconds, 1), ours=ours)
            self._rearm(dialog, now)
            return
        before = session, dialog.peer_updates
        if answer.status == 422:
            least = max(session_timer.minimum(answer.headers), session.seconds)
            dialog.session = replace(session, seconds=least)
        elif answer.status in (405, 501) and key.method == "UPDATE":
            dialog.peer_updates = False
        learnt = before != (dialog.session, dialog.peer_updates)
        again = now + (0.0 if learnt else RETRY_SECONDS)
        self._timers.arm(Watch(dialog.number), DialogTimer.REFRESH, again)

    def _rearm(self, dialog: Dialog, now: float) -> None:
        self._timers.disarm(Watch(dialog.number))
        if dialog.session:
            timer = DialogTimer.REFRESH if dialog.session.ours else DialogTimer.EXPIRE
            self._timers.arm(Watch(dialog.number), timer, now + dialog.session.next_step())

    def _branch(self) -> str:
        return MAGIC_COOKIE + self._token()
