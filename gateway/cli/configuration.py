"""Which settings a command runs with."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from gateway.cli.errors import CannotRun
from gateway.config.settings import Settings, SettingsError, load

DEFAULT = Path("hushtap.toml")


def chosen(arguments: argparse.Namespace) -> Path | None:
    """The file to read: named on the line, by the environment, or lying here; None: none, the defaults hold."""
    if arguments.config is not None:
        path: Path = arguments.config
        return path
    named = os.environ.get("HUSHTAP_CONFIG")
    return Path(named) if named else DEFAULT if DEFAULT.exists() else None


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Raises CannotRun with a line for each fault of the file."""
    path = chosen(arguments)
    try:
        return load(path) if path else Settings()
    except SettingsError as error:
        raise CannotRun(str(error)) from error
