"""`hushtap show`: one call, all of it."""

from __future__ import annotations

import argparse
import json

from gateway.cli import shapes, text
from gateway.cli.configuration import settings_of
from gateway.cli.opening import Library
from gateway.recording.model import CallFacts, RecordingFacts


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    with Library(settings, personal=not arguments.no_personal) as library:
        call = library.call(arguments.call)
        if arguments.json:
            print(json.dumps(shapes.call(call, library.parts), indent=2))
        else:
            print(text.details(call, [_recording(library, call, item) for item in call.recordings]))
    return 0


def _recording(library: Library, call: CallFacts, item: RecordingFacts) -> str:
    parts = (
        f"{part.path} ({part.bytes:,} bytes{', torn' * part.torn})" for part in library.parts(call, item)
    )
    segment = f"segment {item.segment} from {text.offset(item.start)}, " if len(call.recordings) > 1 else ""
    return f"{segment}{item.state.value}: {', '.join(parts) or 'no file'}"
