"""A sync fails, the daemon starts again, the power goes: whatever was answered is there.

The disk is `harness/disk.py`: below the real daemon, it fails syncs as Linux does and forgets what was not synced.
"""

import contextlib
import json
import os
import random
import sqlite3
import threading

import httpx
import pytest

from harness.certificates import Certificates
from harness.disk import DATABASE, LOG, OTHER, Disk
from harness.invited import Invited
from harness.maker import make
from harness.waiting import free_port, wait_until

pytestmark = pytest.mark.once

ANY = LOG + DATABASE + OTHER
MANY = 1500
"""Invites that fill a good part of the log."""
FULL_LOG = 4_100 * 4_120
"""Bytes of a log that has been long enough to be brought into the database."""


class InvitedOnDisk(Invited):
    def __init__(self, directory):
        authority = Certificates(directory / "certificates").authority
        super().__init__(directory / "invited", xmpp_port=free_port(), authority=authority, log_level="info")
        self.disk = Disk(directory / "disk", self.data)
        self.environment.update(self.disk.environment)

    def cut_power(self, **survivors):
        if self.running:
            self.kill()
        self.disk.mend()
        self.disk.power_cut(**survivors)

    def wait_for_end(self):
        return self.process.wait(20)

    def lost(self, answered):
        return set(answered) - {invite["token"] for invite in self.invites()}

    @property
    def database(self):
        return self.data / "invited.sqlite"


@pytest.fixture
def invited(tmp_path):
    invited = InvitedOnDisk(tmp_path)
    try:
        yield invited
    finally:
        invited.disk.mend()
        if invited.running:
            invited.kill()


@contextlib.contextmanager
def reader(invited):
    """Somebody who has begun to read, and does not end."""
    connection = sqlite3.connect(invited.database, isolation_level=None)
    connection.execute("begin")
    connection.execute("select count(*) from invites").fetchone()
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("then", [1, 40, MANY])
@pytest.mark.parametrize(("kinds", "after", "count"), [(LOG, 0, 1), (LOG, 7, 1), (LOG, 30, 2), (DATABASE, 0, 1)])
def test_after_a_failed_sync_and_a_restart(invited, kinds, after, count, then):
    invited.start()
    key = invited.key()
    invited.disk.fail_syncs(kinds, after=after, count=count)
    answered = make(invited, key, 10 * MANY)
    assert invited.wait_for_end() == 70
    assert invited.disk.failed
    assert "could not be made durable" in invited.output.read_text()

    invited.disk.mend()
    invited.start()
    answered += make(invited, key, then)
    invited.cut_power()
    invited.start()
    assert not invited.lost(answered)


@pytest.mark.parametrize("then", ["the daemon starts", "a command runs"])
@pytest.mark.parametrize("somebody_stays", [False, True])
def test_what_was_brought_into_the_database_beside_a_reader(invited, somebody_stays, then):
    """While somebody reads, SQLite brings a part of the log into the database, and syncs that only with the rest.
    Whoever has the database open keeps SQLite's note of what was brought in."""
    invited.start()
    key = invited.key()
    idle = sqlite3.connect(invited.database)
    if somebody_stays:
        idle.execute("select count(*) from invites").fetchall()
    answered = make(invited, key, MANY)
    with reader(invited):
        while invited.data.joinpath("invited.sqlite-wal").stat().st_size < FULL_LOG:
            answered += make(invited, key, 200)
    invited.disk.fail_syncs(DATABASE)
    answered += make(invited, key, 10 * MANY)
    assert invited.wait_for_end() == 70, "the log would begin anew over what is not on the disk"

    invited.disk.mend()
    if then == "the daemon starts":
        invited.start()
    else:
        invited.key()
    idle.close()
    invited.cut_power()
    invited.start()
    assert not invited.lost(answered)


@pytest.mark.parametrize("call", [*range(1, 20), *range(20, 140, 8)])
def test_the_power_goes_while_it_starts_after_a_failed_sync(invited, call):
    """At the `call`-th thing that it does on the disk; of what was not synced, chance keeps a part.

    What the failed sync was about concerns many pages of which the log on the disk has none, so that a database with
    some of them cannot be mended out of that log."""
    invited.start()
    key = invited.key()
    answered = make(invited, key, 300)
    invited.stop()
    invited.start()
    answered += make(invited, key, 1, clients=1)
    invited.disk.fail_syncs(LOG)
    with contextlib.suppress(httpx.TransportError):
        names = "\n".join(["username", *(f"user-{number}" for number in range(300))])
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "text/csv"}
        answer = httpx.post(f"{invited.url}/api/v1/invites/bulk", headers=headers, content=names)
        assert answer.status_code == 503, answer.text
    assert invited.wait_for_end() == 70

    invited.disk.mend()
    invited.disk.kill_at(call)
    invited.spawn()
    wait_until(lambda: not invited.running or invited._ready(), "it starts, or is killed")
    chance = random.Random(call)
    invited.cut_power(survives=lambda name, page: chance.random() < 0.5)
    invited.start()
    assert not invited.lost(answered)
    with contextlib.closing(sqlite3.connect(invited.database)) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("daemon_is_back", [True, False])
@pytest.mark.parametrize(
    "command",
    [["key", "create", "localhost"], ["invite", "create", "localhost"], ["invite", "contact", "kim@localhost"]],
    ids=" ".join,
)
def test_what_a_command_answered_after_a_failed_sync(invited, command, daemon_is_back):
    invited.start()
    key = invited.key()
    invited.disk.fail_syncs(LOG, after=5)
    make(invited, key, MANY)
    assert invited.wait_for_end() == 70
    invited.disk.mend()
    if daemon_is_back:
        invited.start()
    told = invited.output_of(*command)

    invited.cut_power()
    invited.start()
    keys = [f"{key['id']}/" for key in json.loads(invited.output_of("key", "list", "localhost", "--json"))]
    there = [*keys, *(invite["token"] for invite in invited.invites())]
    assert [known for known in there if known in told]


@pytest.mark.parametrize("after", range(8))
def test_a_command_whose_sync_fails_does_not_answer(invited, after):
    invited.output_of("key", "create", "localhost", "before")
    invited.disk.fail_syncs(ANY, after=after)
    done = invited.run("key", "create", "localhost", "late")
    assert invited.disk.failed or after > 5, "it syncs log, database and folder"
    invited.cut_power()
    names = [key["name"] for key in json.loads(invited.output_of("key", "list", "localhost", "--json"))]
    assert "before" in names
    if done.returncode == 0:
        assert "late" in names, "it was answered"
    else:
        assert not done.stdout
        assert "could not be made durable" in done.stderr or "disk I/O error" in done.stderr, done.stderr
        assert "panicked" not in done.stderr


@pytest.mark.parametrize("kinds", [LOG, DATABASE])
def test_no_start_on_a_disk_that_goes_on_failing(invited, kinds):
    invited.start()
    key = invited.key()
    invited.disk.fail_syncs(LOG, after=3)
    answered = make(invited, key, MANY)
    assert invited.wait_for_end() == 70
    for _ in range(3):
        invited.disk.fail_syncs(kinds)
        before = len(invited.output.read_text())
        invited.spawn()
        assert invited.wait_for_end() == 1
        told = invited.output.read_text()[before:].splitlines()[-1]
        assert told.startswith("invited: ") and "invited.sqlite" in told, told

    invited.cut_power()
    invited.start()
    assert not invited.lost(answered)


def test_a_start_waits_for_who_reads_and_names_it(invited):
    invited.start()
    key = invited.key()
    answered = make(invited, key, 20)
    with reader(invited):
        answered += make(invited, key, 20)
        invited.kill()
        invited.spawn()
        wait_until(lambda: f"(process {os.getpid()})" in invited.output.read_text(), "it names this process")
        assert invited.running and not invited._ready()
        told = invited.run("invite", "list", "localhost", "--json")
        assert told.returncode == 0, "a command does not wait for those who read"
    wait_until(lambda: invited.assert_running() and invited._ready(), "it is ready")
    assert invited.data.joinpath("invited.sqlite-wal").stat().st_size < 100_000, "the log began anew"
    assert not invited.lost(answered)


def test_a_command_waits_for_who_writes_and_names_it(invited):
    invited.key()
    writer = sqlite3.connect(invited.database, isolation_level=None, check_same_thread=False)
    writer.execute("begin immediate")
    # Longer than the second after which it says for whom it waits.
    release = threading.Timer(2.5, lambda: writer.execute("rollback"))
    release.start()
    try:
        done = invited.run("key", "create", "localhost")
    finally:
        release.join()
        writer.close()
    assert done.returncode == 0, done.stderr
    assert f"(process {os.getpid()})" in done.stderr


def test_commands_beside_a_busy_daemon_disturb_nobody(invited):
    invited.start()
    key = invited.key()
    answered, names = [], []

    def work():
        answered.extend(make(invited, key, 2 * MANY))

    load = threading.Thread(target=work)
    load.start()
    while load.is_alive() and len(names) < 40:
        names.append(f"key-{len(names)}")
        invited.output_of("key", "create", "localhost", names[-1])
    load.join()
    assert invited.running
    assert len(answered) >= 2 * MANY, "everybody was answered"
    assert len(names) > 2

    invited.cut_power()
    invited.start()
    assert not invited.lost(answered)
    there = {key["name"] for key in json.loads(invited.output_of("key", "list", "localhost", "--json"))}
    assert there.issuperset(names)


def test_the_very_first_start_is_on_the_disk_when_it_answers(invited):
    invited.start()
    secret = invited.secret_file.read_text()
    made = invited.invite()
    invited.cut_power()
    invited.start()
    assert invited.secret_file.read_text() == secret
    assert invited.show(made["token"])["url"] == made["url"], "the key of its links is there, too"


def test_a_backup_is_on_the_disk_when_it_is_told(invited):
    invited.start()
    token = invited.invite()["token"]
    backup = invited.data / "backup.sqlite"
    invited.output_of("backup", str(backup))
    invited.cut_power()
    backup.replace(invited.database)
    for name in ("invited.sqlite-wal", "invited.sqlite-shm"):
        invited.data.joinpath(name).unlink(missing_ok=True)
    invited.start()
    assert not invited.lost([token])
