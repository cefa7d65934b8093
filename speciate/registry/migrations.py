"""The tables of the index, as steps that are only ever added to: an older file is brought up to date by later ones."""

import sqlite3

from speciate.errors import StorageError

STEPS: tuple[str, ...] = (
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        digest TEXT NOT NULL,
        species TEXT, version INTEGER, niche TEXT, base TEXT, base_digest TEXT,
        verdict TEXT, gain REAL, gain_low REAL, forgetting REAL, forgetting_upper REAL, created TEXT,
        summary TEXT,   -- the entry in short, JSON
        recipe TEXT,    -- resolved, JSON
        manifest TEXT,  -- digest of manifest.json
        problem TEXT    -- why its card cannot be read
    );
    CREATE INDEX by_species ON entries (species, version);
    CREATE INDEX by_digest ON entries (digest);
    CREATE INDEX by_niche ON entries (niche, gain);
    CREATE INDEX by_gain ON entries (gain);
    CREATE INDEX by_forgetting ON entries (forgetting_upper);
    CREATE INDEX by_created ON entries (created);
    CREATE INDEX by_base ON entries (base);
    CREATE INDEX by_base_digest ON entries (base_digest);
    CREATE INDEX by_verdict ON entries (verdict, gain);
    CREATE INDEX damaged ON entries (name) WHERE problem IS NOT NULL;

    CREATE TABLE edges (child TEXT NOT NULL, place INTEGER NOT NULL, parent TEXT NOT NULL, kind TEXT NOT NULL,
        PRIMARY KEY (child, place)) WITHOUT ROWID;
    CREATE INDEX by_parent ON edges (parent);

    CREATE TABLE aliases (species TEXT NOT NULL, alias TEXT NOT NULL, digest TEXT NOT NULL,
        PRIMARY KEY (species, alias)) WITHOUT ROWID;
    CREATE INDEX by_target ON aliases (digest);

    CREATE VIRTUAL TABLE words USING fts5 (species, niche, base, description, families, other, tokenize = 'unicode61');

    CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    """,
)


def bring_up_to_date(database: sqlite3.Connection) -> None:
    """Run the steps that the file has not seen, each whole. Raises StorageError for a file of a later version."""
    known = _version(database)
    if known > len(STEPS):
        raise StorageError(
            f"the registry's index was made by a later version of speciate (step {known} of {len(STEPS)}); "
            "update speciate, or remove index.sqlite: it is made anew from the entries"
        )
    if known == len(STEPS):
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have run them while this one waited.
        for number in range(_version(database), len(STEPS)):
            for statement in STEPS[number].split(";"):
                if statement.strip():
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {number + 1}")
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
