"""`hushtap export`: a call's audio into a file, for a reason that is kept."""

from __future__ import annotations

import argparse
import getpass
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from gateway.cli.configuration import settings_of
from gateway.cli.errors import CannotRun
from gateway.cli.opening import Library, failing_in_sentences
from gateway.cli.progress import progress
from gateway.cli.shapes import time_of_day
from gateway.config.settings import Settings
from gateway.export import BOTH, Format, export, export_vcon, sample_rate
from gateway.recording.model import UNIT_NS, CallFacts, RecordingFacts, Role
from gateway.storage import access
from gateway.storage.container import Reader
from gateway.storage.keys import KeyPaths, load_node, load_node_public, load_vault_public


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    legs = BOTH if arguments.leg == "both" else (Role(arguments.leg),)
    with Library(settings) as library, failing_in_sentences(), ExitStack() as opened:
        call = library.call(arguments.call)
        _check(arguments, call)
        signer = load_node(KeyPaths.of(settings).node) if arguments.sign else None
        chosen, start, stop = _chosen(call, arguments.segment)
        _log(settings, call, arguments)
        with ExitStack() as looked_at:
            rate = sample_rate(_parts(library, call, chosen, looked_at), legs)
        parts = _parts(library, call, chosen, opened)
        report = opened.enter_context(progress(f"exporting to {arguments.output}"))
        if arguments.format == "vcon":
            export_vcon(
                parts,
                legs,
                call,
                arguments.output,
                node=load_node_public(KeyPaths.of(settings).node_public),
                created_ns=time.time_ns(),
                rate=rate,
                signer=signer,
                progress=report,
                force=arguments.force,
            )
        else:
            export(
                parts,
                legs,
                Format(arguments.format),
                arguments.output,
                length_units=stop - start,
                start_units=start,
                redactions=call.redactions,
                rate=rate,
                progress=report,
                force=arguments.force,
            )
    print(arguments.output)
    return 0


def _check(arguments: argparse.Namespace, call: CallFacts) -> None:
    """Raises CannotRun where this call cannot be taken out in this way."""
    if call.ended_ns is None:
        raise CannotRun(f"call {call.id} is still being recorded; export it when it has ended")
    if not call.recordings:
        raise CannotRun(f"call {call.id} has no recording: {call.reason}")
    if arguments.sign and arguments.format != "vcon":
        raise CannotRun(f"--sign is for --format vcon; a {arguments.format} file bears no signature")
    if arguments.segment and arguments.format == "vcon":
        raise CannotRun("--segment is for sound and Matroska; a vCon is of the whole call")


def _chosen(call: CallFacts, segment: int | None) -> tuple[Sequence[RecordingFacts], int, int]:
    """The recordings to export, and from when to when on the call's clock."""
    end = ((call.ended_ns or call.started_ns) - call.started_ns) // UNIT_NS
    if segment is None:
        return call.recordings, 0, end
    chosen = [item for item in call.recordings if item.segment == segment]
    if not chosen:
        held = ", ".join(str(item.segment) for item in call.recordings)
        raise CannotRun(f"call {call.id} has no recording of segment {segment}; it has {held}")
    later = [item.start for item in call.recordings if item.segment > segment]
    return chosen, chosen[0].start, min([*later, max(end, chosen[0].start)])


def _parts(
    library: Library, call: CallFacts, chosen: Sequence[RecordingFacts], opened: ExitStack
) -> list[Reader]:
    return [part for item in chosen for part in opened.enter_context(library.opened(call, item))]


def _log(settings: Settings, call: CallFacts, arguments: argparse.Namespace) -> None:
    """Before anything is decrypted, so that no copy leaves without its line."""
    details = {"leg": arguments.leg, "format": arguments.format, "reason": arguments.reason}
    if arguments.segment:
        details["segment"] = str(arguments.segment)
    if arguments.sign:
        details["signed"] = "yes"
    entry = access.Access(time_of_day(time.time_ns()), getpass.getuser(), call.id, "export", details)
    public = partial(load_vault_public, KeyPaths.of(settings).vault_public)
    access.append(settings.storage.directory, entry, public)
