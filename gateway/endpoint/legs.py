"""What pjsua2 calls back, and what a process keeps of each call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pjsua2

from gateway.endpoint import messages
from gateway.endpoint.conversation import Conversation, Manner, Way
from gateway.endpoint.messages import Side
from gateway.endpoint.pjsip import INVALID, Player

if TYPE_CHECKING:
    from gateway.endpoint.agent import Agent

HOLD_TRIES = 8  # its peer may refuse, having asked for something itself


class Leg(pjsua2.Call):
    """One of pjsip's calls; tells its owner what happens."""

    def __init__(self, agent: Agent, account: pjsua2.Account, number: int = INVALID) -> None:
        super().__init__(account, number)
        self._agent = agent
        self.talk: Talk | None = None
        self.side = Side.CALLER
        self.asked_to_hold = False

    @property
    def audio_status(self) -> int:
        """Of its audio, as pjsua2.CallMediaStatus has it."""
        found = [int(media.status) for media in self.info.media if media.type == pjsua2.MediaType.AUDIO]
        none = int(pjsua2.CallMediaStatus.NONE)
        return next((status for status in found if status != none), none)

    @property
    def on_hold(self) -> bool:
        """Whether we hold it."""
        return self.audio_status == int(pjsua2.CallMediaStatus.LOCAL_HOLD)

    def onCallState(self, prm: pjsua2.OnCallStateParam) -> None:
        if self.talk is None:
            return
        info = self.info
        if info.state == pjsua2.InvState.CONFIRMED:
            self._agent.connected(self.talk, self)
        elif info.state == pjsua2.InvState.DISCONNECTED:
            self._agent.left(self.talk, self, int(info.lastStatusCode))

    def onCallMediaState(self, prm: pjsua2.OnCallMediaStateParam) -> None:
        if self.talk is not None:
            self._agent.media(self.talk, self)

    def onDtmfDigit(self, prm: pjsua2.OnDtmfDigitParam) -> None:
        if self.talk is not None:
            way = Way.INFO if prm.method == pjsua2.DtmfMethod.SIP_INFO else Way.RTP
            self._agent.key(self.talk, self, prm.digit, way, prm.duration)


class Line(pjsua2.Account):
    """The account on the trunk."""

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self._agent = agent

    def onIncomingCall(self, prm: pjsua2.OnIncomingCallParam) -> None:
        self._agent.arrived(prm.callId, prm.rdata.wholeMsg)

    def onRegState(self, prm: pjsua2.OnRegStateParam) -> None:
        self._agent.tell(messages.Registered(int(prm.code), prm.expiration))


class Holding:
    """Whether a leg should be on hold, and what is still done for it."""

    def __init__(self, on: bool) -> None:
        self.on, self.tries, self.next = on, HOLD_TRIES, 0.0


class Talk:
    """A call: its conversation, its legs, and what is played."""

    def __init__(self, name: str, manner: Manner, caller: Leg, who: str) -> None:
        self.name, self.who = name, who
        self.conversation = Conversation(manner)
        self.legs = {Side.CALLER: caller}
        self.player: Player | None = None
        self.spoken: float | None = None  # when the last sample of the notice is on its way
        self.due: float | None = None
        self.holds: dict[Side, Holding] = {}  # that are not yet as they should be
