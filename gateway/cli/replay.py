"""`hushtap replay`: captures become recordings, as if the gateway had listened."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from gateway.cli import shapes, text
from gateway.cli.configuration import settings_of
from gateway.cli.errors import CannotRun
from gateway.cli.keys import ensure
from gateway.cli.opening import Library, failing_in_sentences
from gateway.cli.progress import progress
from gateway.config.settings import Settings
from gateway.io.captures import CaptureFile
from gateway.io.log import begin_log
from gateway.io.replay import Replayed, replay
from gateway.io.starting import CannotStart

NS = 1e9
TLS = "sip_tls"
CUT = "cut"
OK, CANNOT_RUN, INTERRUPTED = 0, 2, 130


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    level = max(settings.log.level, "warning", key=("debug", "info", "warning", "error").index)
    begin_log(settings.log.model_copy(update={"level": level}))
    with ExitStack() as stack:
        files = [_open(path, stack) for path in _once(arguments.captures)]
        ensure(settings)
        done = _replay(settings, files)
    _print_calls(settings, done, arguments)
    print("\n".join(_summary(done)), file=sys.stderr)
    faults = [f"{file.path}: {file.fault}; what came before is kept" for file in files if file.fault]
    for fault in faults:
        print(f"hushtap: {fault}", file=sys.stderr)
    return CANNOT_RUN if faults else INTERRUPTED if done.interrupted else OK


def _once(paths: Sequence[str]) -> Sequence[str]:
    """Raises CannotRun where a capture is named twice: all in it would be recorded twice."""
    if twice := {path for path in paths if paths.count(path) > 1}:
        raise CannotRun(f"{min(twice)} is named twice")
    return paths


def _open(path: str, stack: ExitStack) -> CaptureFile:
    file = CaptureFile(path)
    stack.callback(file.close)
    return file


def _replay(settings: Settings, files: Sequence[CaptureFile]) -> Replayed:
    with failing_in_sentences(), progress("replay") as report:
        try:
            return replay(settings, files, report)
        except CannotStart as error:
            raise CannotRun(str(error)) from error


def _print_calls(settings: Settings, done: Replayed, arguments: argparse.Namespace) -> None:
    """Numbers are shown where the private key is, and nobody said that they are not wanted."""
    personal = not arguments.no_personal and settings.key_path("vault_private").exists()
    with Library(settings, personal=personal) as library:
        calls = [library.call(call_id) for call_id in done.calls]
        if arguments.json:
            print(json.dumps([shapes.call(call, library.parts) for call in calls], indent=2))
        elif calls:
            print(text.explained(calls))


def _summary(done: Replayed) -> Iterator[str]:
    seconds, took = done.capture_ns / NS, done.took_ns / NS
    times = f", {seconds / took:.0f} times real time" if took and seconds > took else ""
    yield (
        f"{len(done.calls)} calls in {done.packets} packets, {done.messages} of SIP, of {seconds:.1f} s "
        f"(replayed in {took:.1f} s{times})"
    )
    if done.unlisted:
        yield f"{done.unlisted} further calls were not recorded and are not listed: too many came at once"
    if count := done.unheard.get(TLS):
        yield f"SIP over TLS in {count} connections: the calls in it cannot be read"
    for kind, count in sorted(done.unheard.items()):
        if kind != TLS:
            yield f"not followed: {kind} {count}"
    if count := done.refused.get(CUT):
        yield f"packets of which the capture holds the beginning alone: {count}; nothing is recorded of their audio"
    if others := sorted((kind, count) for kind, count in done.refused.items() if kind != CUT):
        kinds = ", ".join(f"{kind} {count}" for kind, count in others)
        yield f"packets that are neither UDP nor TCP, or could not be read: {kinds}"
    if done.interrupted:
        yield "interrupted: the rest was not read"
