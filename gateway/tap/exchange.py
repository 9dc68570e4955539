"""Offers and answers of one dialog, as they pass at one place (RFC 3264, RFC 3262, RFC 3311, RFC 6337)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.sip.sdp import SessionDescription
from gateway.tap.agreeing import Agreement
from gateway.tap.effects import Side

MAX_OFFERS = 4  # remembered of a dialog; RFC 3264 section 4 allows one at a time, others are retransmitted

Key = tuple[Side, str, int]  # who asks, method, CSeq number


@dataclass(slots=True)
class _Offer:
    side: Side
    description: SessionDescription | None  # None: an answer was heard, its offer was not
    before: Agreement
    answer: SessionDescription | None = None


def other(side: Side) -> Side:
    return Side.CALLEE if side is Side.CALLER else Side.CALLER


class Exchange:
    """`agreed` is what holds. What is seen again changes nothing."""

    def __init__(self, agreed: Agreement | None = None) -> None:
        self.agreed = agreed or Agreement()
        self._offers: dict[Key, _Offer] = {}
        self._news = False

    def request(self, key: Key, description: SessionDescription) -> None:
        """A request brings an offer."""
        known = self._offers.get(key)
        if known is None:
            self._remember(key, _Offer(key[0], description, self.agreed))
        elif known.description is None and known.answer is not None:
            known.description = description  # it was overtaken by its answer
            self._agree(known, known.answer)

    def response(self, key: Key, description: SessionDescription, asked: bool) -> None:
        """A response brings the answer, or the offer where the request is known to have had none (`asked` is False)."""
        known = self._offers.get(key)
        side = other(key[0])
        if known is None:
            known = _Offer(side if not asked else key[0], description if not asked else None, self.agreed)
            self._remember(key, known)
            if not asked:
                return
        if known.side is side:
            known.description = description  # an offer again, perhaps another one in the final response
        elif known.answer != description:
            self._agree(known, description)

    def acknowledged(self, key: Key, description: SessionDescription) -> bool:
        """An ACK or PRACK brings the answer to an offer in a response; False where there is no such offer."""
        known = self._offers.get(key)
        if known is not None and known.description is None and known.answer is not None:
            # The request was not heard, and had no offer: what was taken for an answer was one.
            known.side, known.description, known.answer = other(key[0]), known.answer, None
        if known is None or known.side is key[0]:
            return False
        if known.answer != description:
            self._agree(known, description)
        return True

    def overheard(self, side: Side, description: SessionDescription) -> None:
        """An answer to what was never heard."""
        self.agreed, self._news = self.agreed.with_side(side, description, other(side)), True

    def news(self) -> bool:
        """Whether something was agreed on since this was last asked."""
        news, self._news = self._news, False
        return news

    def refused(self, key: Key) -> None:
        """A final response other than 2xx: what held before holds again (RFC 3261 section 14.1)."""
        known = self._offers.pop(key, None)
        if known and known.answer is not None:
            self.agreed = known.before

    def waiting(self) -> list[tuple[Key, SessionDescription]]:
        """Offers of requests without their answers."""
        return [
            (key, known.description)
            for key, known in self._offers.items()
            if known.side is key[0] and known.description and known.answer is None
        ]

    def pending(self) -> Agreement:
        """What the latest offer without an answer says alone."""
        for known in reversed(self._offers.values()):
            if known.answer is None and known.description:
                return Agreement().with_side(known.side, known.description, known.side)
        return Agreement()

    def descriptions(self) -> Iterator[SessionDescription]:
        """All that are kept, some of them more than once."""
        for agreed in (self.agreed, *(offer.before for offer in self._offers.values())):
            yield from filter(None, (agreed.caller, agreed.callee))
        for offer in self._offers.values():
            yield from filter(None, (offer.description, offer.answer))

    def _agree(self, offer: _Offer, answer: SessionDescription) -> None:
        offer.answer = answer
        agreed = self.agreed
        if offer.description:
            agreed = agreed.with_side(offer.side, offer.description, offer.side)
        self.agreed, self._news = agreed.with_side(other(offer.side), answer, offer.side), True

    def _remember(self, key: Key, offer: _Offer) -> None:
        self._offers[key] = offer
        if len(self._offers) > MAX_OFFERS:
            del self._offers[next(iter(self._offers))]
