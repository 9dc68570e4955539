"""`hushtap doctor`: can this machine record; with --attach, what its taps hear."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from gateway.capacity import Costs
from gateway.cli.configuration import settings_of
from gateway.config.settings import Settings
from gateway.doctor import Finding, Level, capacity, examine
from gateway.doctor_endpoints import examine_endpoints
from gateway.doctor_taps import examine_taps
from gateway.io.calibration import CannotCalibrate, calibrate
from gateway.io.endpoint_facts import measure_endpoints
from gateway.io.listening_in import listen
from gateway.io.machine import Machine, measure

COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.FAULT: "red"}


def run(arguments: argparse.Namespace) -> int:
    """1 when a fault was found; warnings are none."""
    settings = settings_of(arguments)
    if arguments.attach:
        findings = examine_taps(listen(settings.taps(), arguments.seconds), arguments.seconds)
    else:
        machine, calls = measure(settings), arguments.calls or settings.media.max_calls
        costs, why_not = _try(machine, settings, arguments.quick)
        findings = [
            *examine(machine, settings, calls),
            *examine_endpoints(measure_endpoints(settings.endpoints())),
            capacity(machine, settings, calls, costs, why_not),
        ]
    if arguments.json:
        print(json.dumps([_row(finding) for finding in findings], indent=2))
    else:
        console = Console(soft_wrap=True)
        for finding in findings:
            console.print(_lines(finding))
    return 1 if any(finding.level is Level.FAULT for finding in findings) else 0


def _try(machine: Machine, settings: Settings, quick: bool) -> tuple[Costs | None, str]:
    """What calls cost here, or why that is not known."""
    if quick:
        return None, "it was not tried what calls cost"
    if machine.gateway_running:
        return None, "a gateway runs, and what calls cost is not tried beside its calls"
    try:
        return calibrate(settings, machine.folder.path), ""
    except CannotCalibrate as error:
        return None, str(error)


def _row(finding: Finding) -> dict[str, object]:
    """As JSON; `calls` is a member only where the check tells of them."""
    return {name: value for name, value in asdict(finding).items() if name != "calls" or value is not None}


def _lines(finding: Finding) -> Text:
    text = Text()
    text.append(f"{finding.level.value:8} ", COLOURS[finding.level])
    text.append(f"{finding.check:17} {finding.found}")
    if finding.action:
        text.append(f"\n{'':9}{'expected':17} {finding.expected}\n{'':9}{'to do':17} {finding.action}")
    return text
