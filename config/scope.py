"""Settings of what is recorded at all: `[scope]`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.config.section import Networks, Patterns, Section


class ScopeSettings(Section):
    """Which calls are recorded, however they reach the gateway. The others are answered or overheard all the same, and
    told of as not recorded. By default every call is recorded."""

    directions: tuple[Literal["inbound", "outbound", "internal"], ...] = Field(
        ("inbound", "outbound", "internal"),
        description="Directions of calls that are recorded. A call whose direction is not known is recorded.",
    )
    extensions: Patterns = Field(
        (),
        description="Regular expressions; only calls in which an extension takes part that matches one in full are "
        "recorded. Empty: all.",
    )
    except_extensions: Patterns = Field(
        (), description="Likewise; calls in which one takes part are not recorded."
    )
    numbers: Patterns = Field(
        (),
        description="Regular expressions; only calls with an external number that matches one in full are recorded, and "
        "calls without external number. Empty: all. Numbers are as the signalling has them, without spaces.",
    )
    except_numbers: Patterns = Field(
        (), description="Likewise; calls with such an external number are not recorded."
    )
    trunks: Networks = Field(
        (),
        description="Networks like `192.0.2.0/28`; only calls whose signalling goes from or to one of them are recorded: of "
        "recording clients, or of the parties that a tap overhears. Empty: all.",
    )
    except_trunks: Networks = Field((), description="Likewise; calls from or to these are not recorded.")
