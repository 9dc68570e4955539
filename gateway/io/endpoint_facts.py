"""What endpoints need and whether it is here, found without taking calls."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gateway.config.endpoint import EndpointSettings
from gateway.io.endpoint import PACKAGES, EndpointFault, read_password
from gateway.io.endpoint_taps import tap_of
from gateway.io.ring import TapFault
from gateway.io.sounds import NoticeFault, make_notice


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """Of one endpoint; a fault is a sentence, empty where all is well."""

    name: str
    pjsua: bool  # whether pjsua2 is installed
    notice_seconds: float  # 0: none
    notice_fault: str
    password_fault: str
    password: bool  # whether there is one
    interface: str
    interface_fault: str


def measure_endpoints(endpoints: Sequence[EndpointSettings]) -> list[EndpointFacts]:
    """The notice is made as at the start, and thrown away."""
    return [_measure(endpoint) for endpoint in endpoints]


def _measure(endpoint: EndpointSettings) -> EndpointFacts:
    seconds, notice_fault = 0.0, ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            _, seconds = make_notice(endpoint, Path(folder))
        except NoticeFault as error:
            notice_fault = str(error)
    password, password_fault = "", ""
    try:
        password = read_password(endpoint, os.environ)
    except EndpointFault as error:
        password_fault = str(error)
    interface, interface_fault = "", ""
    try:
        (interface,) = tap_of(endpoint).interfaces
    except TapFault as error:
        interface_fault = str(error)
    return EndpointFacts(
        endpoint.name, all(find_spec(each) is not None for each in PACKAGES), seconds, notice_fault, password_fault, bool(password),
        interface, interface_fault,
    )  # fmt: skip
