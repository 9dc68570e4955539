"""The pure packages stay pure: what decides does no I/O and reads no clock.

The rule is held by walking the syntax trees, imports inside functions included.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Paths as they are imported: `gateway/codecs` is the folder `codecs`, and so on.
PURE = (
    "gateway/capacity.py",
    "gateway/sip/",
    "gateway/siprec/",
    "gateway/rtp/",
    "gateway/tap/",
    "gateway/endpoint/messages.py",
    "gateway/endpoint/conversation.py",
    "gateway/endpoint/front.py",
    "gateway/endpoint/farewells.py",
    "gateway/endpoint/challenges.py",
    "gateway/endpoint/screening.py",
    "gateway/endpoint/describing.py",
    "gateway/endpoint/rewriting.py",
    "gateway/endpoint/referring.py",
    "gateway/endpoint/effects.py",
    "gateway/endpoint/showing.py",
    "gateway/endpoint/calling.py",
    "gateway/recording/",
    "gateway/redaction/",
    "gateway/codecs/",
    "gateway/storage/sealing.py",
    "gateway/storage/clusters.py",
    "gateway/storage/container.py",
    "gateway/storage/clusters.py",
    "gateway/storage/ebml.py",
)
# Everything else below gateway/ may touch files, never a socket, a process or an event loop.
SHELL = (
    "gateway/io/",
    "gateway/console/",
    "gateway/hotkey/",
    "gateway/endpoint/",
    "gateway/demo/",
    "gateway/cli.py",
    "gateway/cli/",
)

CONCURRENCY = frozenset(
    {"asyncio", "concurrent", "multiprocessing", "select", "selectors", "signal"}
    | {"socket", "socketserver", "ssl", "subprocess", "threading"}
)
OUTSIDE_WORLD = CONCURRENCY | frozenset(
    {"ctypes", "fcntl", "glob", "importlib", "logging", "mmap", "os", "pathlib"}
    | {"queue", "resource", "sched", "shutil", "sqlite3", "tempfile", "time"}
)
# Of our own, a pure module imports pure modules only.
PURE_MODULES = tuple(path.removesuffix(".py").rstrip("/").replace("/", ".") for path in PURE)
WORLD_CALLS = frozenset({"__import__", "eval", "exec", "input", "open", "print"})
CLOCK_CALLS = frozenset({"now", "today", "utcnow"})


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and full name of every module a tree imports, wherever it does so."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, name.name) for name in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                anchor = package.split(".")[: len(package.split(".")) + 1 - level] if level else []
                base = ".".join([*anchor, *([module] if module else [])])
                yield from ((node.lineno, f"{base}.{name.name}") for name in names)
            case _:
                pass


def is_within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def impure_calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Calls by which a module reaches the world without importing anything suspicious."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in WORLD_CALLS:
                yield node.lineno, f"calls {name}()"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="datetime" | "date" as owner), attr=name)) if (
                name in CLOCK_CALLS
            ):
                yield node.lineno, f"reads the clock by {owner}.{name}()"
            case _:
                pass


def faults(path: str, source: str) -> list[str]:
    """What in one module breaks the rule, a sentence each."""
    tree = ast.parse(source, path)
    package = ".".join(Path(path).parent.parts)
    pure = path.startswith(PURE)
    forbidden = OUTSIDE_WORLD if pure else frozenset() if path.startswith(SHELL) else CONCURRENCY
    found = [
        (line, f"imports {module}")
        for line, module in imports(tree, package)
        if module.split(".")[0] in forbidden
        or (pure and is_within(module, ("gateway",)) and not is_within(module, PURE_MODULES))
    ]
    if pure:
        found += impure_calls(tree)
    return [f"{path}:{line} {what}" for line, what in sorted(found)]


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package by its import path, through the links."""
    for folder, _, files in os.walk(ROOT / "gateway", followlinks=True):
        for name in files:
            if name.endswith(".py"):
                file = Path(folder, name)
                yield file.relative_to(ROOT).as_posix(), file


def test_the_tree_keeps_the_rule() -> None:
    found = [fault for path, file in modules() for fault in faults(path, file.read_text(encoding="utf-8"))]
    assert found == []


def test_every_pure_path_exists() -> None:
    for path in PURE:
        assert (ROOT / path).exists(), f"{path} is listed as pure and is not there"


@pytest.mark.parametrize(
    "source",
    [
        "import socket",
        "import os.path",
        "from time import monotonic",
        "def late():\n    import asyncio",
        "if True:\n    from concurrent.futures import Executor",
        "from gateway.io import udp",
        "from gateway import cli",
        "from ..storage.vault import Vault",
        "from .. import io",
        "import logging",
        "open('/dev/null')",
        "__import__('socket')",
        "started = datetime.now(UTC)",
    ],
)
def test_an_impure_module_is_found(source: str) -> None:
    assert len(faults("gateway/sip/bad.py", source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import re, struct, hashlib",
        "from dataclasses import dataclass",
        "from datetime import UTC, datetime",
        "from gateway.recording.model import Role",
        "from gateway.storage.sealing import seal",
        "from . import message",
        "from ..rtp import clock",
        "def tick(now: float) -> float:\n    return now",
    ],
)
def test_a_pure_module_passes(source: str) -> None:
    assert faults("gateway/sip/good.py", source) == []


def test_only_the_shell_has_sockets_and_processes() -> None:
    source = "import socket\nimport subprocess\nimport asyncio\nimport os\n"
    assert len(faults("gateway/storage/vault.py", source)) == 3
    assert faults("gateway/io/udp.py", source) == []
    assert faults("gateway/demo/client.py", source) == []
