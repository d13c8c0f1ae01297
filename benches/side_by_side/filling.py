"""Fills a SQLite store with open invites, quickly and as if the daemon had made them."""

import os
import sqlite3

RUN = 300
"""About as many consecutive invites have token hashes that begin alike."""
MILLISECONDS_PER_RUN = 10


def token_hash(run):
    """How the hashes of a run begin, the runs being spread over all that is possible; 29 random bytes follow."""
    return (run * 0x9E3779B1 % 2**32 >> 8).to_bytes(3, "big")


VALUES = {
    "id": "cast(runs.id || randomblob(9) as blob)",
    "token_hash": "cast(runs.token_hash || randomblob(29) as blob)",
    "token_sealed": "randomblob(length(sample.token_sealed))",
    "created_at": "runs.created_at",
    "expires_at": "runs.created_at + sample.expires_at - sample.created_at",
}
"""Everything else is as in the sample."""


def fill(file, count):
    """Puts `count` invites beside those that are there: copies of one, with identity and secrets of their own.

    Identifiers ascend in time and end before that one's. Indexes stay, so that they look as if they had grown.
    """
    runs, rest = divmod(count, RUN)
    database = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -1000000"):
        database.execute(f"pragma {pragma}")
    columns = [name for _, name, *_ in database.execute("pragma table_info(invites)")]
    database.executescript("""
        create temp table sample as select * from invites limit 1;
        create temp table places (place integer primary key);
        create temp table runs (run integer primary key, id blob, token_hash blob, created_at integer);
    """)
    database.execute("begin")
    database.executemany("insert into places values (?)", ((place,) for place in range(RUN)))
    last = int.from_bytes(database.execute("select id from sample").fetchone()[0][:6], "big")
    for run in range(runs + 1):
        at = last - (runs + 1 - run) * MILLISECONDS_PER_RUN
        version = b"\x70"
        database.execute(
            "insert into runs values (?, ?, ?, ?)",
            (run, at.to_bytes(6, "big") + version, token_hash(run), at // 1000),
        )
    values = ", ".join(VALUES.get(column, f"sample.{column}") for column in columns)
    database.execute(
        f"insert into invites ({', '.join(columns)}) select {values} from sample cross join runs cross join places"
        " where run < ? or place < ?",
        (runs, rest),
    )
    database.execute("commit")
    assert database.execute("select count(*) from invites").fetchone() == (count + 1,)
    database.execute("pragma journal_mode = wal")
    database.close()
    os.sync()  # or the first visit pays for writing it back
