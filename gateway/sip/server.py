"""A user agent server (RFC 3261 sections 8.2, 12 to 15; RFC 3311): answers what needs no thought, tells the rest.

Requests outside a dialog that are answered at once are answered statelessly: a flood of them holds no memory.
INVITEs and requests within a dialog have transactions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from gateway.sip import dialog as dialogs
from gateway.sip import session_timer
from gateway.sip.access import Access
from gateway.sip.answers import Fields, Objection, Profile, objection, response, retry_after
from gateway.sip.dialog import OVER, Dialog, DialogId, DialogTimer
from gateway.sip.effects import (
    Acknowledged,
    Effect,
    Flow,
    HungUp,
    Informed,
    Invited,
    Modified,
    Probed,
    Rejected,
    Send,
)
from gateway.sip.errors import BadMessage
from gateway.sip.headers import MAGIC_COOKIE, NameAddr
from gateway.sip.layer import ClientKey, Owner, TransactionLayer, Watch, status_event
from gateway.sip.message import Request, Response, parse, serialise
from gateway.sip.stateless import StatelessServer, back, stamped
from gateway.sip.timers import Timers
from gateway.sip.transaction import TIMEOUT, Event, ServerKey, State, Timer, server_key
from gateway.sip.upkeep import Finding, Upkeep

__all__ = ["Effect", "Flow", "Rejected", "Send", "UserAgentServer"]

TRANSACTIONS_PER_DIALOG = 8  # a refused INVITE lingers 32 s: room for refusing at seven times the call rate
DIALOG_RESERVE = 2  # requests within dialogs go on at a limit this much higher, so a flood hangs up nobody


class UserAgentServer:
    """Act on the effects of each call, in order, before the next call.

    Times are float seconds of one monotonic clock. `token` gives fresh unguessable text for tags and branches.
    """

    def __init__(
        self, *, token: Callable[[], str], profile: Profile, max_message_bytes: int, max_dialogs: int,
        access: Access | None = None, session_policy: session_timer.Policy | None = None,
    ) -> None:  # fmt: skip
        self._token = token
        self._profile = profile
        self._max_message_bytes = max_message_bytes
        self._max_dialogs = max_dialogs
        self.stateless = StatelessServer(profile, access, token())
        self._timers: Timers[Owner, Timer | DialogTimer] = Timers()
        self._layer = TransactionLayer(self._timers)
        self._upkeep = Upkeep(self._layer, self._timers, token, session_policy or session_timer.Policy(0))
        self._dialogs: dict[int, Dialog] = {}
        self._numbers: dict[DialogId, int] = {}
        self._pending: dict[int, ServerKey] = {}  # what of a dialog waits for `respond`
        self._last_number = 0

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Effect]:
        """One whole message: a datagram or what the stream framer cut out."""
        if not data.strip(b"\r\n\0"):
            return []  # keepalive
        if not self.stateless.admits(flow.peer[0]):
            return self.stateless.stranger(data, flow, now)
        if self.stateless.floods(flow, now):
            return [Rejected("flood")]
        request = None
        try:
            message = parse(data)
            request = message if isinstance(message, Request) else None
            if len(data) > self._max_message_bytes:
                raise BadMessage(
                    513, f"the message has more than {self._max_message_bytes} bytes", "too_large"
                )
            match message:
                case Request():
                    return self._request(message, flow, now)
                case Response():
                    return self._response(message, now)
        except BadMessage as error:
            error.request = error.request or request
            return self.reject(error, flow)

    def reject(self, error: BadMessage, flow: Flow) -> list[Effect]:
        """Count a bad message and answer it where that is possible; also for what a framer raised."""
        effects: list[Effect] = [Rejected(error.kind)]
        if error.request and error.respond:
            with suppress(BadMessage):  # not even a Via to answer to
                effects += self.stateless.answer(stamped(error.request, flow), flow, error.status, ())
        return effects

    def connection_lost(self, connection: int, now: float) -> list[Effect]:
        """Unanswered INVITEs of it are over; running dialogs live on until the peer comes back or media stops."""
        for dialog in self._dialogs.values():
            if dialog.flow and dialog.flow.connection == connection:
                dialog.flow = None
        effects: list[Effect] = []
        for key, entry in self._layer.drop_connection(connection):
            if isinstance(key, ClientKey) and key.method == "OPTIONS":
                effects.append(Probed(entry.dialog, alive=False))
            pending = self._pending.get(entry.dialog) == key
            if pending:
                del self._pending[entry.dialog]
            if entry.dialog in self._dialogs and (pending or isinstance(key, ClientKey)):
                # An unanswered re-INVITE leaves its dialog as it was: REFUSE means nothing to it.
                event = dialogs.Event.REFUSE if pending else dialogs.Event.GONE
                effects += self._step(self._dialogs[entry.dialog], event, "connection_lost", now)
        return effects

    def carries(self, connection: int) -> bool:
        """Whether the last request of a dialog came over this connection."""
        flows = (dialog.flow for dialog in self._dialogs.values())
        return any(flow is not None and flow.connection == connection for flow in flows)

    def next_timer(self) -> float | None:
        """When `handle_timer` is due, or None."""
        return self._timers.next()

    def handle_timer(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        while due := self._timers.pop(now):
            owner, timer = due
            if isinstance(owner, int):
                effects += self._dialog_timer(self._dialogs[owner], timer, now)
            elif isinstance(owner, Watch):
                effects += self._watched(self._dialogs[owner.dialog], timer, now)
            elif isinstance(timer, Timer):
                entry = self._layer.get(owner)
                effects += self._layer.drive(owner, timer, now)
                unanswered = timer in (Timer.B, Timer.F) and self._layer.get(owner) is None
                if entry and unanswered and isinstance(owner, ClientKey):
                    effects += self._found(owner, entry.dialog, Finding.GONE, now)
        return effects

    def waiting(self, number: int) -> bool:
        """Whether an INVITE or UPDATE of this dialog waits for `respond`."""
        return number in self._pending

    def respond(
        self, number: int, status: int, now: float, *, fields: Fields = (), body: bytes = b"", reason: str = "",
        cause: str = "refused",
    ) -> list[Effect]:  # fmt: skip
        """The final response to the INVITE or UPDATE of a dialog that waits; nothing when none does.

        `cause` is what HungUp says when a first INVITE is refused so.
        """
        key = self._pending.pop(number, None)
        entry = self._layer.get(key) if key else None
        if key is None or entry is None:
            return []
        dialog, success = self._dialogs[number], status < 300
        if success:
            dialog.contact = self._profile.contact(entry.flow, entry.request.uri)
            dialog.description = body or dialog.description
            fields = (("Contact", dialog.contact), *self._upkeep.agree(dialog, entry.request, now), *fields)
        answer = response(entry.request, status, entry.tag, fields, body, reason)
        effects: list[Effect] = list(self._layer.respond(key, answer, now))
        if entry.request.method == "INVITE" and success:
            dialog.await_ack(entry.request.cseq.number, Send(serialise(answer), entry.flow))
            self._timers.arm(number, DialogTimer.REPEAT_ANSWER, now + dialog.next_repeat())
            self._timers.arm(number, DialogTimer.NO_ACK, now + TIMEOUT)
            effects += self._step(dialog, dialogs.Event.ANSWER, "", now)
        elif dialog.state is dialogs.State.INVITED:
            effects += self._step(dialog, dialogs.Event.REFUSE, cause, now)
        return effects

    def hang_up(self, number: int, cause: str, now: float) -> list[Effect]:
        """End a dialog: 480 before its answer, BYE after."""
        dialog = self._dialogs.get(number)
        if dialog is None:
            return []
        first = dialog.state is dialogs.State.INVITED
        effects = self.respond(number, 480 if first else 487, now, cause=cause)
        return effects + self._step(dialog, dialogs.Event.HANG_UP, cause, now)

    def timed(self, number: int) -> bool:
        """Whether a session timer watches this dialog."""
        dialog = self._dialogs.get(number)
        return dialog is not None and dialog.session is not None

    def probe(self, number: int, now: float) -> list[Effect]:
        """Ask whether the other side still knows a dialog; Probed tells."""
        dialog = self._dialogs.get(number)
        if dialog is None or dialog.state in OVER:
            return []
        return list(self._upkeep.probe(dialog, now)) or [Probed(number, alive=False)]

    def _response(self, answer: Response, now: float) -> list[Effect]:
        key = ClientKey(answer.cseq.method, answer.via.branch)
        entry = self._layer.get(key)
        if entry is None:
            return [Rejected("stray_response")]
        dialog = self._dialogs.get(entry.dialog)
        first = answer.status >= 200 and entry.transaction.state in (State.TRYING, State.PROCEEDING)
        if key.method == "INVITE" and dialog:
            effects: list[Effect] = list(self._upkeep.acknowledge(dialog, key, answer, now))
        else:
            effects = list(self._layer.drive(key, status_event(answer.status), now))
        if not first or dialog is None:
            return effects
        if key.method == "BYE":
            return effects + self._found(key, dialog.number, Finding.GONE, now)
        if dialog.state in OVER:
            return effects
        return effects + self._found(key, dialog.number, self._upkeep.answered(dialog, key, answer, now), now)

    def _found(self, key: ClientKey, number: int, finding: Finding | None, now: float) -> list[Effect]:
        """What a request of ours showed of the other side."""
        dialog = self._dialogs.get(number)
        if dialog is None or finding is None:
            return []
        match key.method:
            case "BYE":
                return self._step(dialog, dialogs.Event.GONE, "", now)
            case "OPTIONS" if dialog.state not in OVER:
                return [Probed(number, finding is Finding.ALIVE)]
            case "INVITE" | "UPDATE" if finding is Finding.GONE:
                return self.hang_up(number, "session_expired", now)
        return []

    def _watched(self, dialog: Dialog, timer: Timer | DialogTimer, now: float) -> list[Effect]:
        refresh = self._upkeep.due(dialog, timer, now)
        return self.hang_up(dialog.number, "session_expired", now) if refresh is None else list(refresh)

    def _request(self, request: Request, flow: Flow, now: float) -> list[Effect]:
        request = stamped(request, flow)
        if request.method == "ACK":
            return self._ack(request, now)
        key = server_key(request)
        if self._layer.get(key):
            return list(self._layer.drive(key, Event.REQUEST, now))
        if request.method == "CANCEL":
            return self._cancel(request, flow, now)
        tag = NameAddr.parse(request.headers.get("To") or "").tag
        if tag:
            number = self._numbers.get(self._dialog_id(request, tag))
            if number is None:
                return self.stateless.refuse(request, flow, 481, "unknown_dialog")
            return self._within(self._dialogs[number], key, request, flow, now)
        if fault := objection(request, self._profile):
            return self.stateless.refuse(request, flow, fault.status, fault.kind, fault.fields)
        match request.method:
            case "OPTIONS":
                return self.stateless.options(request, flow, now)
            case "INVITE":
                return self._invite(key, request, flow, now)
            case _:
                return self.stateless.refuse(request, flow, 481, "unknown_dialog")

    def _invite(self, key: ServerKey, request: Request, flow: Flow, now: float) -> list[Effect]:
        if self._layer.is_merged(request, key):
            return self.stateless.refuse(request, flow, 482, "merged_request")
        if fault := self.stateless.inadmissible(request, flow.peer[0], now) or self._too_short(request):
            return self.stateless.refuse(request, flow, fault.status, fault.kind, fault.fields)
        room = len(self._layer) < TRANSACTIONS_PER_DIALOG * self._max_dialogs
        if len(self._dialogs) >= self._max_dialogs or not room:
            return self.stateless.refuse(request, flow, 503, "overload", retry_after())
        dialog = Dialog(self._last_number + 1, request, self._token(), flow)
        self._last_number = dialog.number
        self._dialogs[dialog.number] = dialog
        self._numbers[dialog.id] = dialog.number
        trying = self._open(dialog, key, request, flow, now)
        return [*trying, Invited(dialog.number, request, flow)]

    def _open(self, dialog: Dialog, key: ServerKey, request: Request, flow: Flow, now: float) -> list[Effect]:
        """A transaction that waits for `respond`; an INVITE is told so at once."""
        self._layer.open(key, request, back(request, flow), dialog.number, dialog.id.local_tag)
        self._pending[dialog.number] = key
        if request.method != "INVITE":
            return []
        return list(self._layer.respond(key, response(request, 100), now))

    def _within(
        self, dialog: Dialog, key: ServerKey, request: Request, flow: Flow, now: float
    ) -> list[Effect]:
        """A new request of a known dialog."""
        full = len(self._layer) >= DIALOG_RESERVE * TRANSACTIONS_PER_DIALOG * self._max_dialogs
        if full and request.method != "BYE":  # which frees what it takes: a dialog ends once
            return self.stateless.refuse(request, flow, 503, "overload", retry_after())
        fault = objection(request, self._profile)
        if not fault and flow.peer[0] != dialog.host:  # somebody else than who made it?
            fault = self.stateless.unproven(request, flow.peer[0], now)
        if fault:
            return self.stateless.refuse(request, flow, fault.status, fault.kind, fault.fields)
        if request.cseq.number < dialog.remote_sequence:
            return self.stateless.refuse(request, flow, 500, "old_sequence")
        dialog.remote_sequence = request.cseq.number
        dialog.flow = flow
        if request.method == "BYE":
            return self._bye(dialog, key, request, flow, now)
        if dialog.state in OVER:
            return self.stateless.refuse(request, flow, 481, "unknown_dialog")
        if request.method in ("INVITE", "UPDATE"):
            return self._modify(dialog, key, request, flow, now)
        if request.method == "INFO":  # its body is kept nowhere here: it may tell of a key
            told = Informed(dialog.number, request)
            return [*self._at_once(dialog, key, request, flow, now, ()), told]
        return self._at_once(dialog, key, request, flow, now, self._profile.described())

    def _modify(
        self, dialog: Dialog, key: ServerKey, request: Request, flow: Flow, now: float
    ) -> list[Effect]:
        if dialog.number in self._pending:
            # Section 14.2 and RFC 3311 section 5.2: one before it is not answered yet.
            return self.stateless.refuse(request, flow, 500, "request_pending", retry_after(1))
        if request.method == "INVITE" and dialog.state is dialogs.State.ACCEPTED:
            return self.stateless.refuse(request, flow, 491, "request_pending")
        if fault := self._too_short(request):
            return self.stateless.refuse(request, flow, fault.status, fault.kind, fault.fields)
        dialog.refresh_target(request)
        return [*self._open(dialog, key, request, flow, now), Modified(dialog.number, request, flow)]

    def _too_short(self, request: Request) -> Objection | None:
        """Whether the session timer asked for is below our least, RFC 4028 section 9."""
        policy = self._upkeep.policy
        if not session_timer.too_short(request, policy):
            return None
        return Objection(422, "session_too_short", (("Min-SE", str(policy.least)),))

    def _bye(self, dialog: Dialog, key: ServerKey, request: Request, flow: Flow, now: float) -> list[Effect]:
        effects = self._at_once(dialog, key, request, flow, now, ())
        effects += self.respond(dialog.number, 487, now, cause="bye")
        return effects + self._step(dialog, dialogs.Event.BYE, "bye", now)

    def _ack(self, request: Request, now: float) -> list[Effect]:
        key = server_key(request, "INVITE")
        entry = self._layer.get(key)
        if entry and entry.transaction.state is not State.ACCEPTED:
            return list(self._layer.drive(key, Event.ACK, now))
        tag = NameAddr.parse(request.headers.get("To") or "").tag or ""
        dialog = self._dialogs.get(self._numbers.get(self._dialog_id(request, tag), 0))
        if dialog is None or request.cseq.number != dialog.awaited or not dialog.move(dialogs.Event.ACK):
            return []
        self._timers.disarm(dialog.number)
        if dialog.state is dialogs.State.ENDING:
            return self._send_bye(dialog, now)
        first, dialog.established = not dialog.established, True
        return [Acknowledged(dialog.number, request, first)]

    def _cancel(self, request: Request, flow: Flow, now: float) -> list[Effect]:
        key = server_key(request, "INVITE")
        entry = self._layer.get(key)
        if entry is None:
            return self.stateless.refuse(request, flow, 481, "unknown_transaction")
        answer = response(request, 200, entry.tag)
        effects: list[Effect] = [Send(serialise(answer), back(request, flow))]
        if self._pending.get(entry.dialog) == key:
            effects += self.respond(entry.dialog, 487, now, cause="cancel")
        return effects

    def _step(self, dialog: Dialog, event: dialogs.Event, cause: str, now: float) -> list[Effect]:
        """Move a dialog and do what its new state asks for."""
        before = dialog.state
        if not dialog.move(event):
            return []
        effects: list[Effect] = []
        if dialog.state in OVER and before not in OVER:
            self._timers.disarm(Watch(dialog.number))
            effects.append(HungUp(dialog.number, cause))
        if dialog.state is dialogs.State.ENDING:
            effects += self._send_bye(dialog, now)
        elif dialog.state is dialogs.State.ENDED:
            self._forget(dialog)
        return effects

    def _send_bye(self, dialog: Dialog, now: float) -> list[Effect]:
        self._timers.disarm(dialog.number)
        if dialog.flow is None:
            return self._step(dialog, dialogs.Event.GONE, "", now)
        key = ClientKey("BYE", MAGIC_COOKIE + self._token())
        request, flow = dialog.request("BYE", key.branch, dialog.flow), dialog.bye_flow(dialog.flow)
        return list(self._layer.call(key, request, flow, dialog.number, now))

    def _dialog_timer(self, dialog: Dialog, timer: Timer | DialogTimer, now: float) -> list[Effect]:
        if timer is DialogTimer.NO_ACK:
            return self._step(dialog, dialogs.Event.NO_ACK, "no_ack", now)
        self._timers.arm(dialog.number, DialogTimer.REPEAT_ANSWER, now + dialog.next_repeat())
        return [dialog.answer] if dialog.answer and dialog.flow else []

    def _forget(self, dialog: Dialog) -> None:
        self._timers.disarm(dialog.number)
        self._timers.disarm(Watch(dialog.number))
        self._pending.pop(dialog.number, None)
        del self._dialogs[dialog.number]
        del self._numbers[dialog.id]

    @staticmethod
    def _dialog_id(request: Request, local_tag: str) -> DialogId:
        caller = NameAddr.parse(request.headers.get("From") or "")
        return DialogId(request.headers.get("Call-ID") or "", local_tag, caller.tag or "")

    def _at_once(
        self, dialog: Dialog, key: ServerKey, request: Request, flow: Flow, now: float, fields: Fields
    ) -> list[Effect]:
        self._layer.open(key, request, back(request, flow), dialog.number, dialog.id.local_tag)
        return list(self._layer.respond(key, response(request, 200, fields=fields), now))
