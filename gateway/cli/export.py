"""`hushtap export`: a call's audio into a file, for a reason that is kept."""

from __future__ import annotations

import argparse
import getpass
import time
from contextlib import ExitStack
from functools import partial

from gateway.cli.configuration import settings_of
from gateway.cli.errors import CannotRun
from gateway.cli.opening import Library, failing_in_sentences
from gateway.cli.progress import progress
from gateway.cli.shapes import time_of_day
from gateway.config.settings import Settings
from gateway.export import BOTH, Format, export, export_vcon, sample_rate
from gateway.recording.model import UNIT_NS, CallFacts, Role
from gateway.storage import access
from gateway.storage.container import Reader
from gateway.storage.keys import KeyPaths, load_node, load_node_public, load_vault_public


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    legs = BOTH if arguments.leg == "both" else (Role(arguments.leg),)
    with Library(settings) as library, failing_in_sentences(), ExitStack() as opened:
        call = library.call(arguments.call)
        if call.ended_ns is None:
            raise CannotRun(f"call {call.id} is still being recorded; export it when it has ended")
        if not call.recordings:
            raise CannotRun(f"call {call.id} has no recording: {call.reason}")
        if arguments.sign and arguments.format != "vcon":
            raise CannotRun(f"--sign is for --format vcon; a {arguments.format} file bears no signature")
        signer = load_node(KeyPaths.of(settings).node) if arguments.sign else None
        _log(settings, call, arguments)
        with ExitStack() as looked_at:
            rate = sample_rate(_parts(library, call, looked_at), legs)
        parts = _parts(library, call, opened)
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
                length_units=(call.ended_ns - call.started_ns) // UNIT_NS,
                redactions=call.redactions,
                rate=rate,
                progress=report,
                force=arguments.force,
            )
    print(arguments.output)
    return 0


def _parts(library: Library, call: CallFacts, opened: ExitStack) -> list[Reader]:
    return [part for item in call.recordings for part in opened.enter_context(library.opened(call, item))]


def _log(settings: Settings, call: CallFacts, arguments: argparse.Namespace) -> None:
    """Before anything is decrypted, so that no copy leaves without its line."""
    details = {"leg": arguments.leg, "format": arguments.format, "reason": arguments.reason}
    if arguments.sign:
        details["signed"] = "yes"
    entry = access.Access(time_of_day(time.time_ns()), getpass.getuser(), call.id, "export", details)
    public = partial(load_vault_public, KeyPaths.of(settings).vault_public)
    access.append(settings.storage.directory, entry, public)
