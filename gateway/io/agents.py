"""Agents' tokens, where they are kept: a file of mode 0600, read again when it changes."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.console.agents import Agent, Right
from gateway.io.tls import stamp
from gateway.recording.model import Personal
from gateway.storage.files import PrivateFileFault, read_private

log = logging.getLogger(__name__)

MAX_BYTES = 4 << 20  # some ten thousand tokens


class AgentsFault(Exception):
    """The tokens cannot be read or written; the text is one sentence that names the file."""


class _Entry(BaseModel):
    """One token in the file."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{8}$")
    name: str
    extensions: list[str] | None  # null: all
    may: list[Right]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created: str

    def agent(self) -> Agent:
        extensions = None if self.extensions is None else frozenset(self.extensions)
        return Agent(
            self.id,
            Personal(self.name),
            extensions,
            frozenset(self.may),
            bytes.fromhex(self.sha256),
            self.created,
        )

    @classmethod
    def of(cls, agent: Agent) -> _Entry:
        return cls(
            id=agent.id,
            name=agent.name.reveal(),
            extensions=None if agent.extensions is None else sorted(agent.extensions),
            may=sorted(agent.rights),
            sha256=agent.digest.hex(),
            created=agent.created,
        )


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid")

    agents: list[_Entry]


class AgentsFile:
    """The tokens as they are now: the file is looked at whenever they are asked for, so a revocation holds at once."""

    def __init__(self, path: Path) -> None:
        """Raises AgentsFault."""
        self._path = path
        self._seen = stamp(path)
        self._agents = read(path)

    def current(self) -> dict[str, Agent]:
        """By id. A file that is gone lets nobody in; what cannot be read leaves what was before."""
        now = stamp(self._path)
        if now != self._seen:
            self._seen = now
            try:
                self._agents = read(self._path)
            except AgentsFault as error:
                log.error("tokens of the API: kept as before: %s", error)
            else:
                log.info("tokens of the API: read again, %d of them", len(self._agents))
        return self._agents


def read(path: Path) -> dict[str, Agent]:
    """The tokens of a file that nobody else may read, by id; of none, none. Raises AgentsFault."""
    try:
        data = read_private(path, MAX_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise AgentsFault(f"{path}: {os.strerror(error.errno or 0)}") from error
    except PrivateFileFault as error:
        raise AgentsFault(str(error)) from error
    try:
        stored = _Stored.model_validate_json(data)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        raise AgentsFault(f"{path}: {place}: {fault['msg']}") from error
    return {entry.id: entry.agent() for entry in stored.agents}


def write(path: Path, agents: Iterable[Agent]) -> None:
    """Replace the file at once, so that a running gateway never reads half of it. Raises AgentsFault."""
    partial = path.with_name(path.name + ".new")
    entries = [_Entry.of(agent).model_dump(mode="json") for agent in agents]
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(_open(partial, os.O_WRONLY | os.O_EXCL), "w") as file:
            json.dump({"agents": entries}, file, ensure_ascii=False, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise AgentsFault(f"{path}: {os.strerror(error.errno or 0)}") from error


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Nobody else changes the file meanwhile: of two changes at once none is lost. Raises AgentsFault."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _open(path.with_name(path.name + ".lock"), os.O_RDWR)
    except OSError as error:
        raise AgentsFault(f"{path}: {os.strerror(error.errno or 0)}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open(path: Path, flags: int) -> int:
    """Made where there is none, and, when root does, as the folder's owner's: the gateway must be able to read it."""
    descriptor = os.open(path, flags | os.O_CREAT, 0o600)
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    return descriptor
