"""A small recorder for tests: keys, vault and index in one folder, and calls with real sealed audio."""

from __future__ import annotations

import os
import struct
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from gateway.export.source import manifest_of, open_parts
from gateway.recording.model import (
    CallFacts,
    CallState,
    Direction,
    LegReport,
    Part,
    Participant,
    Personal,
    RecordingFacts,
    RecordingState,
    Redaction,
    Role,
    Speech,
)
from gateway.storage.container import Block, Chapter, Reader, Track, cluster, header, trailer
from gateway.storage.index import Index
from gateway.storage.keys import FilePrivateKeys, KeyPaths, RecorderKeys, create_keys, load_recorder
from gateway.storage.sealing import Sealer
from gateway.storage.vault import Vault, measure_part

NUMBER, NAME, EXTENSION = "+441632960123", "Ada Lovelace", "2001"
PATTERN = b"never in the clear! "  # what the audio of every test call consists of
STARTED_NS = 1_795_000_000_000_000_000  # 2026-11-18 UTC
TRACKS = tuple(
    Track(n, role, "A_MS/ACM", struct.pack("<HHIIHHH", 6, 1, 8000, 8000, 1, 8, 0), 8000, 1, "PCMA", n == 1, 8)
    for n, role in ((1, Role.EXTERNAL), (2, Role.AGENT))
)
BLOCKS = [Block(n, i * 800, PATTERN * 40) for i in range(40) for n in (1, 2)]  # four seconds of both legs


def identifier(kind: int, n: int) -> str:
    """A UUIDv7 of the time of STARTED_NS."""
    return str(UUID(int=(STARTED_NS // 10**6) << 80 | 7 << 76 | 2 << 62 | kind << 32 | n))


def container(call: CallFacts, recording: RecordingFacts, number: int) -> list[bytes]:
    """The plaintext of a part, in pieces as they come to be written."""
    head = header(recording.id, call.id, recording.segment_id, number, TRACKS, call.started_ns)
    clusters = [cluster(BLOCKS[at : at + 10]) for at in range(0, len(BLOCKS), 10)]
    return [head, *clusters, trailer({"PARTS": "1"}, [Chapter(800, 1600, "pause")])]


@dataclass
class Recorder:
    vault: Vault
    paths: KeyPaths
    keys: RecorderKeys
    index: Index

    @classmethod
    def at(cls, folder: Path) -> Recorder:
        keys = folder / "keys"
        paths = KeyPaths(keys / "vault.pub", keys / "vault.key", keys / "node.key", keys / "lookup.key")
        if not keys.exists():
            create_keys(paths)
        vault = Vault(folder)
        return cls(vault, paths, load_recorder(paths), Index.open(vault.index_path))

    @property
    def private(self) -> FilePrivateKeys:
        return FilePrivateKeys(self.paths.vault_private)

    def facts(self, n: int, state: CallState = CallState.RECORDING) -> CallFacts:
        return CallFacts(
            id=identifier(1, n),
            state=state,
            reason="being recorded",
            started_ns=STARTED_NS + n * 10**9,
            ended_ns=None,
            direction=Direction.INBOUND,
            participants=(
                Participant(Role.EXTERNAL, Personal(NUMBER), Personal(NAME)),
                Participant(Role.AGENT, Personal("sip:2001@pbx.test"), extension=Personal(EXTENSION)),
            ),
            legs=(LegReport(Role.EXTERNAL, "PCMA", 200, 1, 2, 3, 32000), LegReport(Role.AGENT, "PCMA", 200)),
            redactions=(Redaction(800, 1600, (Role.EXTERNAL, Role.AGENT), "pause", "desk 4"),),
            recordings=(RecordingFacts(identifier(2, n), identifier(3, n), RecordingState.RECORDING),),
            notes=("a note",),
        )

    def begin(self, n: int) -> tuple[CallFacts, bytes]:
        """A call that has just started to be recorded, and its data key."""
        facts = self.facts(n)
        key = self.vault.new_recording(facts.id, facts.recordings[0].id, facts.started_ns, self.keys.vault)
        self.index.put(self.vault.write_call(facts, self.keys))
        return facts, key

    def write_part(self, facts: CallFacts, key: bytes, number: int = 1, *, torn: bool = False) -> Part:
        """Seal a part; a torn one lacks its last segment."""
        recording = facts.recordings[0]
        sealer = Sealer(key, recording.id.encode(), os.urandom(32), os.urandom(7))
        data = b"".join(sealer.write(piece) for piece in container(facts, recording, number))
        path = self.vault.part_path(facts.id, facts.started_ns, recording.id, number)
        path.write_bytes(data if torn else data + sealer.finish())
        return measure_part(path, number, torn=torn)

    def finish(self, facts: CallFacts, *parts: Part) -> CallFacts:
        """Sign manifest and final record, as a gateway does when a call ends."""
        recording = RecordingFacts(
            facts.recordings[0].id, facts.recordings[0].segment_id, RecordingState.COMPLETE, parts
        )
        done = CallFacts(
            facts.id,
            CallState.RECORDED,
            "recorded from its start to its end",
            facts.started_ns,
            facts.started_ns + 4 * 10**9,
            facts.direction,
            facts.participants,
            facts.legs,
            facts.redactions,
            (recording,),
            facts.notes,
            (Speech(Role.EXTERNAL, 2500, 1500, 250), Speech(Role.AGENT, 750, 3250, 250)),
        )
        self.vault.finish_recording(done, recording, self.keys.node)
        self.index.put(self.vault.write_call(done, self.keys))
        return done

    def call(self, n: int) -> CallFacts:
        """A call recorded from its start to its end."""
        facts, key = self.begin(n)
        return self.finish(facts, self.write_part(facts, key))

    def read(self, facts: CallFacts) -> AbstractContextManager[list[Reader]]:
        """The parts of a finished call's first recording, decrypted."""
        ids = facts.id, facts.started_ns, facts.recordings[0].id
        return open_parts(self.vault, manifest_of(self.vault, *ids, self.keys.node.public), self.private)

    def part_path(self, facts: CallFacts, number: int = 1) -> Path:
        return self.vault.part_path(facts.id, facts.started_ns, facts.recordings[0].id, number)
