"""`hushtap calls`: the list, newest first."""

from __future__ import annotations

import argparse
import json
import sys

from gateway.cli import shapes, text
from gateway.cli.configuration import settings_of
from gateway.cli.opening import Library
from gateway.recording.model import CallState


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    with Library(settings, personal=not arguments.no_personal) as library:
        state = CallState(arguments.state) if arguments.state else None
        calls = library.calls(arguments.number, state, arguments.since, arguments.limit)
        if arguments.json:
            print(json.dumps([shapes.call(call, library.parts) for call in calls], indent=2))
        elif calls:
            print(text.listing(calls))
        else:
            print("no such calls", file=sys.stderr)
    return 0
