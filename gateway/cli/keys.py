"""`hushtap keys`: make, show and rotate the keys; and those a first start makes by itself."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from gateway.cli.configuration import settings_of
from gateway.cli.errors import CannotRun
from gateway.cli.opening import failing_in_sentences, index_of
from gateway.cli.progress import progress
from gateway.config.settings import Settings
from gateway.storage.keys import (
    KeyPaths,
    create_keys,
    key_id,
    load_lookup,
    load_node,
    load_node_public,
    load_private,
    load_recorder,
    load_vault_public,
)
from gateway.storage.rotation import rotate
from gateway.storage.vault import Vault

log = logging.getLogger(__name__)

KEEP_SAFE = """\
Without {private} no recording can ever be read: keep a copy of it where this machine's loss does not reach.
A machine that only records does not need it; move it to where recordings are played."""


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    paths = KeyPaths.of(settings)
    with failing_in_sentences():
        match arguments.action:
            case "init":
                create_keys(paths)
                _tell(paths)
            case "show":
                _show(paths)
            case "rotate":
                _rotate(settings, paths)
    return 0


def ensure(settings: Settings) -> None:
    """Make the keys of a vault that is new; refuse to start where they are missing from one that is not.

    Raises CannotRun.
    """
    paths = KeyPaths.of(settings)
    with failing_in_sentences():
        if any(path.exists() for path in paths.all()):
            load_recorder(paths)
            return
        if not _is_empty(Vault(settings.storage.directory)):
            raise CannotRun(
                f"{settings.storage.directory} holds recordings, and none of its keys is there: restore them, or name"
                " another storage.directory; `hushtap keys init` makes new keys, which open nothing recorded before"
            )
        create_keys(paths)
    log.warning("a new vault: its keys are made")
    for line in KEEP_SAFE.format(private=paths.vault_private).splitlines():
        log.warning("%s", line)


def _is_empty(vault: Vault) -> bool:
    return not any(vault.wrapped_keys()) and not any(vault.call_folders())


def _tell(paths: KeyPaths) -> None:
    for path in paths.all():
        print(f"made {path}")
    print(KEEP_SAFE.format(private=paths.vault_private))


def _show(paths: KeyPaths) -> None:
    """Which keys are there, each with the id that records name it by; no secret is printed."""
    identify: dict[str, tuple[Path, Callable[[Path], str]]] = {
        "vault public": (paths.vault_public, lambda path: load_vault_public(path).id),
        "vault private": (paths.vault_private, lambda path: key_id(load_private(path).public_key())),
        "node public": (paths.node_public, lambda path: load_node_public(path).id),
        "node private": (paths.node, lambda path: load_node(path).public.id),
        "lookup": (paths.lookup, lambda path: "present" if load_lookup(path) else ""),
    }
    for name, (path, identity) in identify.items():
        print(f"{name:14} {identity(path) if path.exists() else 'absent':17} {path}")


def _rotate(settings: Settings, paths: KeyPaths) -> None:
    vault = Vault(settings.storage.directory)
    with ExitStack() as opened:
        index = opened.enter_context(index_of(settings)) if vault.index_path.exists() else None
        new = rotate(vault, index, paths, opened.enter_context(progress("wrapping keys anew")))
    print(f"the vault's key is now {new}; the old one is gone from {paths.vault_private}")
