"""The index: what goes in comes out, found by what later work searches by."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pysqlite3
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql

from gateway.recording.model import CallState, LegReport, Role
from gateway.storage import tables
from gateway.storage.index import (
    SCHEMA_VERSION,
    CallAmbiguous,
    CallUnknown,
    Index,
    IndexCorrupt,
    IndexFault,
    IndexMissing,
    IndexVersion,
)
from gateway.storage.lookup import search_hashes
from gateway.storage.records import CallRecord, seal_call
from tests.storage.recorder import NUMBER, STARTED_NS, Recorder, identifier


@pytest.fixture
def records(recorder: Recorder) -> list[CallRecord]:
    states = [CallState.RECORDED, CallState.PARTIAL, CallState.NOT_RECORDED, CallState.RECORDING]
    made = [seal_call(recorder.facts(n, states[n % 4]), recorder.keys) for n in range(8)]
    recorder.index.put(*made)
    return made


def test_a_record_comes_back_whole(recorder: Recorder) -> None:
    facts = recorder.call(1)
    record = recorder.index.get(facts.id)
    assert record == recorder.vault.read_call(
        recorder.vault.call_folder(facts.id, facts.started_ns), recorder.keys.node.public
    )
    assert recorder.index.rows(facts.id) == tables.rows_of(record)


def test_putting_again_replaces(recorder: Recorder, records: list[CallRecord]) -> None:
    changed = replace(
        records[0], facts=replace(records[0].facts, legs=(), notes=("other", "notes")), lookup=()
    )
    recorder.index.put(changed)
    assert recorder.index.get(changed.facts.id) == changed
    assert len(recorder.index.ids()) == 8


def test_filters_and_order(recorder: Recorder, records: list[CallRecord]) -> None:
    index, newest_first = recorder.index, records[::-1]
    assert list(index.calls()) == newest_first
    assert list(index.calls(limit=3)) == newest_first[:3]
    assert list(index.calls(states=[CallState.PARTIAL])) == [records[5], records[1]]
    assert list(index.calls(since_ns=STARTED_NS + 3 * 10**9, until_ns=STARTED_NS + 5 * 10**9)) == [
        records[4], records[3]
    ]  # fmt: skip
    hashes = search_hashes(recorder.keys.lookup, "01632 960123")
    assert list(index.calls(hashes=hashes, limit=2)) == newest_first[:2]
    assert list(index.calls(hashes=search_hashes(recorder.keys.lookup, "0999 999999"))) == []


def test_pages_join(recorder: Recorder, monkeypatch: pytest.MonkeyPatch, records: list[CallRecord]) -> None:
    monkeypatch.setattr("gateway.storage.index.PAGE", 3)
    assert list(recorder.index.calls()) == records[::-1]


def test_a_call_by_its_id_or_the_begin_of_it(recorder: Recorder) -> None:
    recorder.index.put(seal_call(recorder.facts(1), recorder.keys))
    assert recorder.index.get(identifier(1, 1)[:8].upper()).facts.id == identifier(1, 1)
    recorder.index.put(seal_call(recorder.facts(2), recorder.keys))
    with pytest.raises(CallAmbiguous, match="give more"):
        recorder.index.get(identifier(1, 1)[:8])
    for unknown in ("ffff", "", "%"):
        with pytest.raises(CallUnknown):
            recorder.index.get(unknown)


def test_checkpoints_reach_running_calls_only(recorder: Recorder, records: list[CallRecord]) -> None:
    legs = (LegReport(Role.EXTERNAL, "PCMU", 50, 4, 3, 2, 8000),)
    running, done = records[3].facts.id, records[0].facts.id
    recorder.index.checkpoint({running: legs, done: legs, identifier(1, 99): legs}, STARTED_NS + 7)
    assert recorder.index.get(running).facts.legs == legs
    assert recorder.index.get(done) == records[0]
    assert recorder.index.checkpointed_ns(running) == STARTED_NS + 7
    assert recorder.index.checkpointed_ns(done) is None
    recorder.index.checkpoint({}, STARTED_NS)
    recorder.index.put(records[3])
    assert recorder.index.checkpointed_ns(running) is None


def test_a_removed_call_leaves_nothing(recorder: Recorder, records: list[CallRecord]) -> None:
    for record in records:
        recorder.index.remove(record.facts.id)
    with pysqlite3.connect(str(recorder.vault.index_path)) as connection:
        counts = [connection.execute(f"SELECT count(*) FROM {table.name}").fetchone() for table in tables.ALL]  # noqa: S608
    connection.close()
    assert counts == [(0,)] * len(tables.ALL)


def test_the_number_is_not_in_the_file(recorder: Recorder, records: list[CallRecord]) -> None:
    path = recorder.vault.index_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    recorder.index.close()
    assert NUMBER[-9:].encode() not in path.read_bytes()
    assert not path.with_name("index.sqlite3-wal").exists()


def test_a_reader_beside_the_writer(recorder: Recorder, records: list[CallRecord]) -> None:
    with Index.open(recorder.vault.index_path, readonly=True) as reader:
        assert len(list(reader.calls())) == 8
        recorder.index.put(seal_call(recorder.facts(20), recorder.keys))
        assert len(list(reader.calls())) == 9
        with pytest.raises(IndexFault, match="not to be written"):
            reader.remove(records[0].facts.id)


def test_what_is_no_index_is_named(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    with pytest.raises(IndexMissing, match="there is no index"):
        Index.open(path, readonly=True)
    path.write_bytes(b"this is no database" * 100)
    for readonly in (True, False):
        with pytest.raises(IndexCorrupt, match="hushtap reindex"):
            Index.open(path, readonly=readonly)


def test_a_damaged_page_is_named(recorder: Recorder, records: list[CallRecord]) -> None:
    recorder.index.close()
    path = recorder.vault.index_path
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(IndexCorrupt, match="damaged"), Index.open(path) as index:
        list(index.calls())


def test_a_row_with_a_value_that_is_none_of_ours_is_named(
    recorder: Recorder, records: list[CallRecord]
) -> None:
    connection = pysqlite3.connect(str(recorder.vault.index_path))
    connection.execute("UPDATE calls SET state = 'lost'")
    connection.commit()
    connection.close()
    with pytest.raises(IndexCorrupt, match="damaged"):
        list(recorder.index.calls())
    with pytest.raises(IndexCorrupt, match="damaged"):
        recorder.index.get(records[0].facts.id)


def test_other_versions_are_named(recorder: Recorder) -> None:
    recorder.index.close()
    path = recorder.vault.index_path
    connection = pysqlite3.connect(str(path))
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(IndexVersion, match="of version 9999"):
        Index.open(path, readonly=True)
    with pytest.raises(IndexVersion, match="does not know"):
        Index.open(path)


def test_an_index_of_the_first_version_is_brought_up_to_date(
    recorder: Recorder, records: list[CallRecord]
) -> None:
    recorder.index.close()
    connection = pysqlite3.connect(str(recorder.vault.index_path))
    connection.execute("DROP TABLE speech")
    connection.execute("DROP TABLE markers")
    connection.execute("DROP INDEX calls_by_pending_cuts")
    for table, column in (
        *(("redactions", name) for name in ("reason", "end_cause", "end_actor")),
        *(("calls", name) for name in ("discard", "cuts", "rewrites", "cuts_pending", "announcement")),
        *(("recordings", name) for name in ("segment", "start_units", "swapped")),
        ("calls", "follows"),
    ):
        connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.commit()
    connection.close()
    with Index.open(recorder.vault.index_path) as index:
        assert sorted(index.calls(), key=lambda record: record.facts.id) == records


def test_the_tables_are_what_the_migrations_make(recorder: Recorder) -> None:
    scripts = ScriptDirectory(str(Path(tables.__file__).parent / "migrations"))
    assert scripts.get_current_head() == SCHEMA_VERSION
    engine = sa.create_engine(f"sqlite+pysqlite:///{recorder.vault.index_path}", module=pysqlite3.dbapi2)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    engine.dispose()


def test_the_tables_are_postgresql_too() -> None:
    for table in tables.ALL:
        assert "CREATE TABLE" in str(sa.schema.CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]


def test_the_connection_is_set_up(recorder: Recorder) -> None:
    with recorder.index._transaction() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}
