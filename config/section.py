"""What the sections of the settings are made of."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Refuses unknown names, so that a misspelt setting is never silently the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _compile(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError where one is not a regular expression."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return patterns


def _networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError where one is not a network."""
    for network in networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise ValueError(f"{network!r} is not a network or an address: {error}") from error
    return networks


Port = Annotated[int, Field(ge=1, le=65535)]
Patterns = Annotated[tuple[str, ...], AfterValidator(_compile)]
Networks = Annotated[tuple[str, ...], AfterValidator(_networks)]
