"""`hushtap serve`: the gateway, until it is told to stop."""

from __future__ import annotations

import argparse

from gateway.cli.configuration import settings_of
from gateway.cli.keys import ensure


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    ensure(settings)
    from gateway.io.gateway import serve

    return serve(settings)
