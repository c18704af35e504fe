"""Job database: one SQLite file with schema migrations and transactions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from backend.errors import OutputError, PhonogramError, StorageFull

LOCK_TIMEOUT_S = 30.0
# Migration n upgrades `user_version` n to n + 1. Append new ones; never change published ones.
MIGRATIONS = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, state TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '', title TEXT NOT NULL, author TEXT NOT NULL, format TEXT NOT NULL,
        seed INTEGER NOT NULL, delivery TEXT NOT NULL, voice_key TEXT NOT NULL, source TEXT NOT NULL,
        revision INTEGER NOT NULL DEFAULT 1, n_sentences INTEGER NOT NULL, n_done INTEGER NOT NULL DEFAULT 0,
        audio_s REAL NOT NULL DEFAULT 0, file TEXT NOT NULL DEFAULT '', file_bytes INTEGER NOT NULL DEFAULT 0,
        file_audio_s REAL NOT NULL DEFAULT 0
    );
    CREATE TABLE chapters (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL, title TEXT NOT NULL,
        start_s REAL, PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    CREATE TABLE sentences (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL, chapter INTEGER NOT NULL,
        pause_s REAL NOT NULL, chosen INTEGER NOT NULL DEFAULT 0, revision INTEGER NOT NULL DEFAULT 1,
        PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    CREATE INDEX changed_sentences ON sentences (job, revision);
    CREATE TABLE takes (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, sentence INTEGER NOT NULL, take INTEGER NOT NULL,
        text TEXT NOT NULL, seed INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'waiting',
        reason TEXT NOT NULL DEFAULT '', sound TEXT REFERENCES sounds (key), duration_s REAL NOT NULL DEFAULT 0,
        finish_reason TEXT NOT NULL DEFAULT '', PRIMARY KEY (job, sentence, take)
    ) WITHOUT ROWID;
    CREATE INDEX waiting_takes ON takes (job, sentence) WHERE state = 'waiting';
    CREATE INDEX asked_takes ON takes (job) WHERE state = 'waiting' AND take > 0;
    CREATE INDEX heard_sounds ON takes (sound);
    CREATE TABLE sounds (key TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL) WITHOUT ROWID;
    """,
    """
    ALTER TABLE jobs ADD COLUMN left_out TEXT NOT NULL DEFAULT '[]';
    """,
)


class JobDatabase:
    """One connection shared by all threads of this process; other processes open their own."""

    def __init__(self, path: Path):
        self.lock = threading.RLock()
        with _converted_errors(path):
            # isolation_level=None: the library starts no implicit transactions.
            self._connection = sqlite3.connect(
                path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode = WAL")
            # Committed jobs survive a power failure, not only a killed process.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
        self._path = path
        self._migrate()

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self.lock, _converted_errors(self._path):
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        with self.lock, _converted_errors(self._path):
            return self._connection.execute(query, values).fetchone()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Run the block as a transaction. Raises `StorageFull` if the disk is full."""
        with self.lock, _converted_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            is_committed = False
            try:
                yield self._connection
                self._connection.execute("COMMIT")
                is_committed = True
            finally:
                if not is_committed:
                    # A full disk may have ended the transaction already.
                    with suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        with self.lock:
            self._connection.close()

    def _migrate(self) -> None:
        row = self.row("PRAGMA user_version")
        assert row is not None
        version = row[0]
        if version > len(MIGRATIONS):
            raise OutputError(
                f"The jobs were written by a later version of Phonogram (format {version}; this one supports up to "
                f"{len(MIGRATIONS)}). Update Phonogram, or set another DATA_DIR."
            )
        for number in range(version, len(MIGRATIONS)):
            with self.change() as database:
                for statement in filter(str.strip, MIGRATIONS[number].split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {number + 1}")


class ProcessLock:
    """A lock held by one process at a time; the operating system releases it when the process ends."""

    def __init__(self, path: Path):
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def acquire(self) -> bool:
        """Acquire the lock without blocking; return whether this process holds it."""
        if self._connection is not None:
            return True
        # SQLite's file lock works the same on every operating system.
        with _converted_errors(self._path):
            connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                connection.close()
                return False
        self._connection = connection
        return True

    def release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def _converted_errors(path: Path) -> Iterator[None]:
    """Convert SQLite errors to `PhonogramError`s without the path."""
    try:
        yield
    except PhonogramError:
        raise
    except sqlite3.OperationalError as error:
        if "full" in str(error) or "I/O" in str(error) or "unable to open" in str(error):
            raise StorageFull(f"The jobs cannot be written ({error}). Free some disk space below DATA_DIR.") from error
        raise OutputError(f"The jobs cannot be read or written ({error}). Try again.") from error
    except sqlite3.DatabaseError as error:
        raise OutputError(
            f"'{path.name}' below DATA_DIR is damaged ({error}). Move it away, or restore a copy."
        ) from error
