"""`hushtap serve`: the gateway, until it is told to stop."""

from __future__ import annotations

import argparse
import resource

from gateway.cli.configuration import settings_of
from gateway.cli.errors import CannotRun
from gateway.cli.keys import ensure
from gateway.cli.opening import failing_in_sentences
from gateway.io.gateway import serve
from gateway.io.log import begin_log
from gateway.io.starting import CannotStart


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    begin_log(settings.log)
    ensure(settings)
    _allow_open_files()
    with failing_in_sentences():
        try:
            return serve(settings)
        except CannotStart as error:
            raise CannotRun(str(error)) from error


def _allow_open_files() -> None:
    """As many as this user may have, for this process and the workers it starts: three a call and process."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
