"""The scope as the settings describe it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from gateway.config.scope import ScopeSettings
from gateway.recording.model import Direction
from gateway.recording.scope import Scope


def scope_of(settings: ScopeSettings) -> Scope:
    return Scope(
        frozenset(map(Direction, settings.directions)),
        _patterns(settings.extensions),
        _patterns(settings.except_extensions),
        _patterns(settings.numbers),
        _patterns(settings.except_numbers),
        _networks(settings.trunks),
        _networks(settings.except_trunks),
    )


def _patterns(texts: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(text) for text in texts)


def _networks(texts: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)
