"""`hushtap serve`: the gateway, until it is told to stop."""

from __future__ import annotations

import argparse

from gateway.cli.configuration import settings_of
from gateway.cli.errors import CannotRun
from gateway.cli.keys import ensure
from gateway.cli.opening import failing_in_sentences


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    ensure(settings)
    from gateway.io.gateway import CannotStart, serve

    try:
        with failing_in_sentences():
            return serve(settings)
    except CannotStart as error:
        raise CannotRun(str(error)) from error
