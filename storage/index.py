"""The index: what calls there are, for listing and searching; rebuilt from the vault when lost.

Synchronous, one connection, one writer: the gateway calls it from one thread of its own. SQLite in
WAL mode with synchronous=FULL, because recovery after a power cut looks only at calls the index
still holds as running, so a committed row must stay; a writer that flushes the file system itself
may do with less. Deleted content is overwritten (secure_delete).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pysqlite3
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from gateway.recording.model import CallState, LegReport
from gateway.storage import files, tables
from gateway.storage.keys import Sealed
from gateway.storage.records import CallRecord

SCHEMA_VERSION = "0005"  # the newest step in migrations/versions
PAGE = 500  # calls read at once: under SQLite's limit of variables in a statement, and a few MB of rows
MAX_FAULTS = 20  # of a damaged file: the first ones tell enough
BUSY_MS = 5000  # a reader waits this long for a writer of another process
PRAGMAS = (
    f"busy_timeout={BUSY_MS}",
    "journal_mode=WAL",
    "secure_delete=ON",
    "foreign_keys=ON",
)


class IndexFault(Exception):
    """The index cannot do what was asked; the text says what to do about it."""


class IndexMissing(IndexFault):
    """There is no index."""


class IndexCorrupt(IndexFault):
    """The index's file is damaged or is something else."""


class IndexVersion(IndexFault):
    """The index was written by another version of the program."""


class CallUnknown(IndexFault):
    """No call has this id."""


class CallAmbiguous(IndexFault):
    """Several calls' ids begin like this."""


class Index:
    """Made by `Index.open`; close it when done, or use it in a `with` statement."""

    def __init__(self, path: Path, engine: sa.Engine) -> None:
        self._path = path
        self._engine = engine

    @classmethod
    def open(cls, path: Path, readonly: bool = False, *, sync: bool = True) -> Index:
        """Open an index, made or brought up to date where it is not read-only. Raises IndexFault.

        Without `sync` the caller flushes the file system after the changes that must be durable.
        """
        if readonly and not path.exists():
            raise IndexMissing(
                f"{path}: there is no index; the gateway makes it when it starts, `hushtap reindex` from what is recorded"
            )
        if not readonly:
            files.make_folder(path.parent)
            path.touch(mode=files.FILE_MODE)
        engine = sa.create_engine(
            sa.URL.create("sqlite+pysqlite", database=str(path)),
            module=pysqlite3.dbapi2,
            poolclass=StaticPool,
            hide_parameters=True,  # in errors: they are what is stored
            connect_args={"check_same_thread": False, "isolation_level": None},
        )
        sa.event.listen(engine, "connect", _configure(readonly, sync))
        sa.event.listen(engine, "begin", _begin(readonly))
        index = cls(path, engine)
        try:
            index._bring_up_to_date(readonly)
        except BaseException:
            index.close()
            raise
        return index

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._engine.dispose()

    def put(self, *records: CallRecord) -> None:
        """Store calls whole, in one transaction, in place of what was there of them."""
        rows = [tables.rows_of(record) for record in records]
        with self._transaction() as connection:
            for record in records:
                connection.execute(tables.calls.delete().where(tables.calls.c.id == record.facts.id))
            for table in tables.ALL:
                if filling := [row for found in rows for row in found[table.name]]:
                    connection.execute(table.insert(), filling)

    def checkpoint(self, reports: Mapping[str, Sequence[LegReport]], at_ns: int) -> None:
        """Bring the legs of running calls up to date, in one transaction; `at_ns` is UTC.

        Calls the index does not hold, or no longer as running, are passed over.
        """
        if not reports:
            return
        running = (tables.calls.c.state == CallState.RECORDING.value) & tables.calls.c.id.in_(reports)
        with self._transaction() as connection:
            found = connection.scalars(
                tables.calls.update().where(running).values(checkpoint_ns=at_ns).returning(tables.calls.c.id)
            ).all()
            connection.execute(tables.legs.delete().where(tables.legs.c.call_id.in_(found)))
            if filling := [row for call_id in found for row in tables.leg_rows(call_id, reports[call_id])]:
                connection.execute(tables.legs.insert(), filling)

    def checkpointed_ns(self, call_id: str) -> int | None:
        """When a running call's legs were last brought up to date."""
        with self._transaction() as connection:
            found: int | None = connection.scalar(
                sa.select(tables.calls.c.checkpoint_ns).where(tables.calls.c.id == call_id)
            )
            return found

    def reseal(self, call_id: str, sealed: Sealed) -> None:
        """Exchange a call's sealed participants, nothing else."""
        mine = tables.calls.update().where(tables.calls.c.id == call_id)
        with self._transaction() as connection:
            connection.execute(mine.values(sealed_key=sealed.key_id, sealed=sealed.data))

    def remove(self, call_id: str) -> None:
        """Forget a call, with all that belongs to it."""
        with self._transaction() as connection:
            connection.execute(tables.calls.delete().where(tables.calls.c.id == call_id))

    def calls(
        self,
        *,
        states: Collection[CallState] | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        hashes: Collection[bytes] | None = None,
        limit: int | None = None,
        cuts_pending: bool = False,
    ) -> Iterator[CallRecord]:
        """Calls, newest first: started from `since_ns` to before `until_ns`, matching one of `hashes`.

        With `cuts_pending` only those from which something is to be cut yet.
        """
        wanted = sa.select(tables.calls.c.id)
        if cuts_pending:
            wanted = wanted.where(tables.calls.c.cuts_pending)
        if states is not None:
            wanted = wanted.where(tables.calls.c.state.in_([state.value for state in states]))
        if since_ns is not None:
            wanted = wanted.where(tables.calls.c.started_ns >= since_ns)
        if until_ns is not None:
            wanted = wanted.where(tables.calls.c.started_ns < until_ns)
        if hashes is not None:
            matching = sa.select(tables.lookup.c.call_id).where(tables.lookup.c.hash.in_(hashes))
            wanted = wanted.where(tables.calls.c.id.in_(matching))
        wanted = wanted.order_by(tables.calls.c.started_ns.desc(), tables.calls.c.id.desc()).limit(limit)
        with self._transaction() as connection:
            ids = connection.scalars(wanted).all()
        for at in range(0, len(ids), PAGE):
            page = ids[at : at + PAGE]
            found = self._rows(page)
            yield from (self._record(found[call_id]) for call_id in page if call_id in found)

    def get(self, call_id: str) -> CallRecord:
        """The call of this id, or the only one whose id begins so. Raises CallUnknown, CallAmbiguous."""
        begins = tables.calls.c.id.startswith(call_id.lower(), autoescape=True)
        with self._transaction() as connection:
            found = connection.scalars(sa.select(tables.calls.c.id).where(begins).limit(2)).all()
        if not found or not call_id:
            raise CallUnknown(f"no call's id begins with {call_id!r}")
        if len(found) > 1:
            raise CallAmbiguous(f"several calls' ids begin with {call_id!r}; give more of it")
        return self._record(self._rows(found)[found[0]])

    def ids(self) -> set[str]:
        """The id of every call."""
        with self._transaction() as connection:
            found = set(connection.scalars(sa.select(tables.calls.c.id)))
        if not all(isinstance(id, str) for id in found):
            raise self._fault(TypeError("a call's id is not text"))
        return found

    def oldest_ns(self) -> int | None:
        """When the first call that is there began, UTC ns since 1970."""
        with self._transaction() as connection:
            found: int | None = connection.scalar(sa.select(sa.func.min(tables.calls.c.started_ns)))
            return found

    def oldest_recording(self) -> str | None:
        """The id of the recording whose call began first, of those that have one."""
        first = sa.select(tables.recordings.c.id).join(tables.calls).order_by(tables.calls.c.started_ns)
        with self._transaction() as connection:
            found: str | None = connection.scalar(first.limit(1))
            return found

    def stored_bytes(self, since_ns: int) -> int:
        """Size of the parts of all calls that began at a time (UTC, ns since 1970) or later and have ended."""
        of_calls = tables.calls.join(tables.recordings).join(tables.parts)
        size = sa.select(sa.func.sum(tables.parts.c.bytes)).select_from(of_calls)
        since = size.where(tables.calls.c.started_ns >= since_ns)
        with self._transaction() as connection:
            return int(connection.scalar(since) or 0)

    def of_other_keys(self, key_id: str) -> int:
        """How many calls have their participants sealed to another key."""
        other = (
            sa.select(sa.func.count()).select_from(tables.calls).where(tables.calls.c.sealed_key != key_id)
        )
        with self._transaction() as connection:
            return int(connection.scalar(other) or 0)

    def faults(self) -> Iterator[str]:
        """What is wrong with the file itself, and rows that belong to no call; a sentence each."""
        with self._transaction() as connection:
            damage = connection.exec_driver_sql(f"PRAGMA integrity_check({MAX_FAULTS})").scalars().all()
            strays = Counter(row[0] for row in connection.exec_driver_sql("PRAGMA foreign_key_check").all())
        yield from (f"{found}." for found in damage if found != "ok")
        yield from (f"{table} has {count} rows of no call." for table, count in sorted(strays.items()))

    def rows(self, call_id: str) -> tables.Rows | None:
        """One call's rows, to be held against its signed record."""
        return self._rows([call_id]).get(call_id)

    def _rows(self, ids: Sequence[str]) -> dict[str, tables.Rows]:
        with self._transaction() as connection:
            found: dict[str, tables.Rows] = {}
            owner: dict[str, str] = {}  # of a recording
            for table in tables.ALL:
                key = table.c.get("call_id", tables.calls.c.id)
                chosen = table.select().where(key.in_(ids)) if table is not tables.parts else _parts_of(ids)
                for row in connection.execute(chosen.order_by(*tables.ORDER[table])).mappings():
                    call_id = owner[row["recording_id"]] if table is tables.parts else row[key.name]
                    if table is tables.recordings:
                        owner[row["id"]] = call_id
                    if table is tables.calls:
                        found[call_id] = {each.name: [] for each in tables.ALL}
                    if call_id in found:
                        found[call_id][table.name].append(dict(row))
            return found

    def _record(self, rows: tables.Rows) -> CallRecord:
        try:
            return tables.record_of(rows)
        except (ValueError, TypeError) as error:
            raise self._fault(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (sa.exc.DatabaseError, pysqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> IndexFault:
        cause = getattr(error, "orig", None) or error
        if any(passing in str(cause) for passing in ("locked", "readonly", "full")):
            return IndexFault(f"{self._path}: the index is not to be written now: {cause}")
        return IndexCorrupt(f"{self._path}: the index is damaged ({cause}); `hushtap reindex` rebuilds it")

    def _bring_up_to_date(self, readonly: bool) -> None:
        with self._transaction() as connection:
            version = None
            if sa.inspect(connection).has_table("alembic_version"):
                version = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
            if version == SCHEMA_VERSION:
                return
            if readonly:
                raise IndexVersion(
                    f"{self._path}: the index is of version {version}, {SCHEMA_VERSION} is expected;"
                    " `hushtap reindex` rebuilds it"
                )
            _migrate(connection, self._path, version)


def _parts_of(ids: Iterable[str]) -> sa.Select[Any]:
    mine = sa.select(tables.recordings.c.id).where(tables.recordings.c.call_id.in_(ids))
    return tables.parts.select().where(tables.parts.c.recording_id.in_(mine))


def _migrate(connection: sa.Connection, path: Path, version: str | None) -> None:
    # Imported here: alembic is only needed on the first start of a version, and takes long to load.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise IndexVersion(
            f"{path}: the index is of version {version}, which this program does not know: {SCHEMA_VERSION} is its own"
        ) from error


def _configure(readonly: bool, sync: bool) -> Callable[[Any, object], None]:
    pragmas = (
        *PRAGMAS,
        f"synchronous={'FULL' if sync else 'NORMAL'}",
        f"query_only={'ON' if readonly else 'OFF'}",
    )

    def configure(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return configure


def _begin(readonly: bool) -> Callable[[sa.Connection], None]:
    # The driver would begin only at the first change; a reader needs one view, a writer the lock at once.
    statement = "BEGIN" if readonly else "BEGIN IMMEDIATE"

    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(statement)

    return begin
