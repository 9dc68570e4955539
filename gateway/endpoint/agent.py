"""The process: pjsua2 carries out what each call's conversation asks for.

Everything happens in one thread: pjsip has no threads of its own for signalling and for what arrives (`threadCnt` 0, no
queue of the media's own), so its callbacks come out of `handle_events`. What is sent is paced by pjsip's clock.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

import pjsua2

from gateway.endpoint import conversation as acts
from gateway.endpoint import messages
from gateway.endpoint.conversation import Action, Manner, Phase, Sound, Way
from gateway.endpoint.legs import Holding, Leg, Line, Talk
from gateway.endpoint.messages import Configure, Described, Over, Side
from gateway.endpoint.parting import Parting
from gateway.endpoint.pjsip import INVALID, Pjsip, PjsipFault
from gateway.endpoint.showing import caller_in, shown

MAX_PJSUA_CALLS = 4  # of a process, as the wheel was built
MAX_CALLS = MAX_PJSUA_CALLS // 2  # each call has two legs
CODECS = ("PCMA/8000", "PCMU/8000", "G722/16000", "GSM/8000", "ILBC/8000", "SPEEX/16000", "SPEEX/8000")
POLL_MS = 10
HOLD_SECONDS = 0.7  # between two tries to hold a leg, or take it back
MAX_KEY_MS = 60_000  # pjsip has a huge number where a peer says nothing
LAST_SAMPLE_SECONDS = 0.06  # from the bridge to the wire
LEAVE_SECONDS = 2.0  # for BYE and the end of the registration when the process is stopped
BUSY_HERE = 486
ACCOUNT_PROXY = 2  # PJSUA_REG_USE_ACC_PROXY: REGISTER goes through the forwarder, too
NS = 1_000_000_000


class Agent:
    """All calls of this process."""

    def __init__(self, pjsip: Pjsip, channel: socket.socket, config: Configure) -> None:
        self._pjsip, self._channel, self._config = pjsip, channel, config
        self._manner = Manner(
            notice=bool(config.notice),
            notice_required=config.notice_required,
            answer_late=config.answer_late,
            ring_seconds=config.ring_seconds,
            busy_seconds=config.busy_seconds,
        )
        self._endpoint = pjsua2.Endpoint()
        self._line = Line(self)
        self._talks: dict[str, Talk] = {}
        self._dead: deque[object] = deque(
            maxlen=64
        )  # ended legs: pjsip may not lose them within their callback
        self._lines = messages.Lines()
        self._breath = 0.0  # when control is to be told again that this process is well

    def start(self) -> None:
        """Raises PjsipFault and RuntimeError."""
        self._pjsip.silence()
        self._endpoint.libCreate()
        settings = pjsua2.EpConfig()
        settings.logConfig.level = settings.logConfig.consoleLevel = settings.logConfig.msgLogging = 0
        settings.uaConfig.threadCnt = 0
        settings.uaConfig.maxCalls = MAX_PJSUA_CALLS
        settings.medConfig.hasIoqueue = False
        settings.medConfig.noVad = True
        settings.medConfig.ecTailLen = 0
        settings.medConfig.sndAutoCloseTime = -1  # the bridge's clock never stops
        self._endpoint.libInit(settings)
        self._pjsip.silence()
        place = pjsua2.TransportConfig()
        place.port, place.boundAddress = 0, "127.0.0.1"
        transport = self._endpoint.transportCreate(pjsua2.TransportType.UDP, place)
        self._endpoint.libStart()
        self._endpoint.audDevManager.setNullDev()
        self._pjsip.codecs(CODECS)
        self._open_line(transport)
        name = self._endpoint.transportGetInfo(transport).localName
        self.tell(messages.Ready(int(name.rpartition(":")[2])))

    def _open_line(self, transport: int) -> None:
        config = self._config
        account = pjsua2.AccountConfig()
        account.idUri = config.identity
        account.sipConfig.transportId = transport
        account.sipConfig.contactForced = config.contact
        account.sipConfig.proxies.append(f"sip:{config.front};lr")
        if config.user:
            secret = pjsua2.AuthCredInfo("digest", config.realm, config.user, 0, config.password)
            account.sipConfig.authCreds.append(secret)
        account.regConfig.registerOnAdd = False
        account.regConfig.registrarUri = config.registrar
        account.regConfig.timeoutSec = config.expires_seconds
        account.regConfig.firstRetryIntervalSec, account.regConfig.retryIntervalSec = 5, 30
        account.regConfig.proxyUse = ACCOUNT_PROXY
        self._line.create(account, True)
        self._pjsip.place_media(
            self._line.id, config.media_address, config.bound_address, config.first_port, config.ports
        )
        if config.registrar:
            self._line.setRegistration(True)

    def run(self) -> None:
        """Until the control process is gone."""
        while self._listen():
            self._breathe()
            self._pjsip.handle_events(POLL_MS)
            self._look()
            self._dead.clear()
        self._leave()

    def _listen(self) -> bool:
        if not select.select([self._channel], [], [], 0)[0]:
            return True
        try:
            data = self._channel.recv(1 << 16)
        except ConnectionResetError:  # it had not read all that we said
            data = b""
        for message in self._lines.feed(data):
            match message:
                case messages.HangUp(call):
                    for talk in [t for n, t in self._talks.items() if call in ("", n)]:
                        self._do(talk, talk.conversation.end())
                case messages.Transfer(call, target) if call in self._talks:
                    self._do(self._talks[call], self._talks[call].conversation.transferred(target))
                case messages.Renew() if self._config.registrar:
                    with suppress(RuntimeError):  # it is being renewed
                        self._line.setRegistration(True)
        return bool(data)

    def _breathe(self) -> None:
        if (now := time.monotonic()) >= self._breath:
            self._breath = now + messages.BREATH_SECONDS
            self.tell(messages.Alive())

    def _look(self) -> None:
        now = time.monotonic()
        for talk in list(self._talks.values()):
            if talk.player and talk.player.ended and talk.spoken is None:
                talk.spoken = now + LAST_SAMPLE_SECONDS
            if talk.spoken is not None and now >= talk.spoken:
                talk.spoken = talk.due = None
                self._hush(talk)
                self._do(talk, talk.conversation.notice_ended())
            elif talk.due is not None and now >= talk.due:
                talk.due = None
                self._do(talk, talk.conversation.timed_out())
            for side, holding in list(talk.holds.items()):
                if now >= holding.next and not self._holds(talk, side, holding, now):
                    talk.holds.pop(side, None)

    def _holds(self, talk: Talk, side: Side, holding: Holding, now: float) -> bool:
        """See to it that a leg holds as it should; whether to look again. INVITEs may cross (RFC 3261 section 14.1)."""
        leg = talk.legs[side]
        settled = leg.asked_to_hold is holding.on is leg.on_hold
        if talk.conversation.phase is Phase.OVER or settled or not holding.tries:
            return False
        holding.next = now + HOLD_SECONDS
        with suppress(PjsipFault):  # an INVITE is on its way
            self._pjsip.hold(leg.id, holding.on)
            leg.asked_to_hold = holding.on
            holding.tries -= 1
        return True

    def _leave(self) -> None:
        """Take leave of everybody, for a moment; without the forwarder where it is gone."""
        parting: Parting | None = None
        with suppress(OSError):
            parting = Parting(self._config)
        self._endpoint.hangupAllCalls()
        if self._config.registrar and parting is None:
            with suppress(RuntimeError):
                self._line.setRegistration(False)
        until = time.monotonic() + LEAVE_SECONDS
        while time.monotonic() < until and (parting or self._talks or self._line.info.regIsActive):
            self._pjsip.handle_events(POLL_MS)
            if parting:  # to the end: what is sent over UDP is sent again
                parting.look()
        os._exit(0)  # pjsip's own end waits for what nobody will answer

    def tell(self, message: messages.FromProcess) -> None:
        with suppress(OSError):  # control is gone; `_listen` sees it
            self._channel.sendall(messages.write(message))

    def arrived(self, number: int, invite: str) -> None:
        leg = Leg(self, self._line, number)
        if len(self._talks) >= MAX_CALLS:
            self._pjsip.hang_up(number, BUSY_HERE)
            self._dead.append(leg)
            return
        info = leg.info
        talk = Talk(info.callIdString, self._manner, leg, caller_in(invite))
        leg.talk = talk
        self._talks[talk.name] = talk
        self.tell(messages.Arrived(talk.name, time.monotonic_ns()))
        self._do(talk, talk.conversation.arrived(info.remOfferer))

    def connected(self, talk: Talk, leg: Leg) -> None:
        self.tell(messages.Connected(talk.name, time.monotonic_ns(), leg.side, leg.info.callIdString))
        self._do(talk, talk.conversation.answered(leg.side))
        if leg.side is Side.CALLEE:  # its media may have been there before, early
            self.media(talk, leg)

    def left(self, talk: Talk, leg: Leg, status: int) -> None:
        self._dead.append(leg)
        self._listen()  # a telephone that hands its call on may hang up at once
        if talk.legs.get(leg.side) is leg:  # and not one before it
            self._do(talk, talk.conversation.left(leg.side, status))

    def media(self, talk: Talk, leg: Leg) -> None:
        """A leg's streams are other ones now."""
        if self._pjsip.port_of_call(leg.id) == INVALID:
            return
        status = leg.audio_status
        held = status == int(pjsua2.CallMediaStatus.REMOTE_HOLD)
        self.tell(Described(talk.name, time.monotonic_ns(), leg.side, leg.info.callIdString, held))
        if status != int(pjsua2.CallMediaStatus.LOCAL_HOLD):
            self._do(talk, talk.conversation.held(leg.side, held))
        self._do(talk, talk.conversation.media(leg.side))

    def key(self, talk: Talk, leg: Leg, key: str, way: Way, lasts_ms: int) -> None:
        if way is Way.INFO:
            now = time.monotonic_ns()
            lasts_ms = lasts_ms if 0 < lasts_ms < MAX_KEY_MS else 0
            self.tell(messages.KeyPressed(talk.name, now, leg.side, key, lasts_ms))
        self._do(talk, talk.conversation.key(leg.side, key, way))

    def _do(self, talk: Talk, actions: list[Action]) -> None:
        """Carry out, in order. What one action causes at once may already call back into here."""
        for action in actions:
            try:
                self._act(talk, action)
            except (PjsipFault, RuntimeError):
                self._do(talk, self._failed(talk, action))

    def _failed(self, talk: Talk, action: Action) -> list[Action]:
        """A leg that cannot be held or bridged is about to end, and will tell so."""
        match action:
            case acts.Play(sound=Sound.NOTICE):
                return talk.conversation.notice_failed()
            case acts.Dial():
                return talk.conversation.dial_failed()
            case acts.Answer():
                return talk.conversation.end()
            case _:
                return []

    def _act(self, talk: Talk, action: Action) -> None:
        match action:
            case acts.Answer(status):
                self._pjsip.answer(talk.legs[Side.CALLER].id, status)
            case acts.Play(sound):
                self._play(talk, sound)
            case acts.Hush():
                self._hush(talk)
            case acts.Dial(target):
                self._dial(talk, target or self._config.destination)
            case acts.Bridge(one_way):
                self._bridge(talk, one_way)
            case acts.Hold(side, on):
                talk.holds[side] = Holding(on)
            case acts.Relay(side, key, way):
                self._relay(talk, side, key, way)
            case acts.HangUp(side, status):
                self._pjsip.hang_up(talk.legs[side].id, status)
            case acts.Arm(seconds):
                talk.due = None if seconds is None else time.monotonic() + seconds
            case acts.TellNotice(whole):
                self.tell(messages.Noticed(talk.name, time.monotonic_ns(), whole))
            case acts.TellBridged():
                self.tell(messages.Bridged(talk.name, time.monotonic_ns()))
            case acts.TellOver(cause, status):
                self._talks.pop(talk.name, None)
                self.tell(Over(talk.name, time.monotonic_ns(), cause, status))

    def _play(self, talk: Talk, sound: Sound) -> None:
        self._hush(talk)
        path = {
            Sound.NOTICE: self._config.notice,
            Sound.RINGING: self._config.ringing,
            Sound.BUSY: self._config.busy,
        }[sound]
        talk.player = self._pjsip.player(path, sound is not Sound.NOTICE)
        self._pjsip.connect(talk.player.port, self._port(talk, Side.CALLER))

    def _hush(self, talk: Talk) -> None:
        player, talk.player, talk.spoken = talk.player, None, None
        if player:
            player.close()

    def _dial(self, talk: Talk, target: str) -> None:
        leg = Leg(self, self._line)
        leg.talk, leg.side = talk, Side.CALLEE
        talk.legs[Side.CALLEE] = leg
        param = pjsua2.CallOpParam(True)
        param.txOption.localUri = shown(talk.who, self._config.identity, self._config.shown)
        self.tell(messages.Dialling(talk.name, time.monotonic_ns(), target))
        leg.makeCall(target, param)

    def _bridge(self, talk: Talk, one_way: bool) -> None:
        caller, callee = (self._port(talk, side) for side in Side)
        self._pjsip.connect(callee, caller)
        if not one_way:
            self._pjsip.connect(caller, callee)

    def _port(self, talk: Talk, side: Side) -> int:
        port = self._pjsip.port_of_call(talk.legs[side].id)
        if port == INVALID:
            raise PjsipFault("a leg has no audio now")
        return port

    def _relay(self, talk: Talk, side: Side, key: str, way: Way) -> None:
        """As it came, or in the other way where the peer does not take it so."""
        tries: list[tuple[Way, Callable[[], None]]] = [
            (Way.RTP, lambda: self._pjsip.dial_key(talk.legs[side].id, key)),
            (Way.INFO, lambda: self._inform(talk.legs[side], key)),
        ]
        for name, send in sorted(tries, key=lambda each: each[0] is not way):
            with suppress(PjsipFault, RuntimeError):
                send()
                self.tell(messages.Relayed(talk.name, name, True))
                return
        self.tell(messages.Relayed(talk.name, way, False))

    @staticmethod
    def _inform(leg: Leg, key: str) -> None:
        param = pjsua2.CallSendDtmfParam()
        param.method, param.digits = pjsua2.DtmfMethod.SIP_INFO, key
        leg.sendDtmf(param)


def serve(channel: socket.socket) -> None:
    """Take calls until the channel is closed."""
    config = _first(channel)
    if config is None:
        return
    try:
        agent = Agent(Pjsip(), channel, config)
        agent.start()
    except (PjsipFault, RuntimeError) as error:
        channel.sendall(messages.write(messages.Broken(str(error))))
        return
    agent.run()


def _first(channel: socket.socket) -> Configure | None:
    lines = messages.Lines()
    for message in _received(channel, lines):
        if isinstance(message, Configure):
            return message
    return None


def _received(channel: socket.socket, lines: messages.Lines) -> Iterator[messages.Line]:
    while data := channel.recv(1 << 16):
        yield from lines.feed(data)
