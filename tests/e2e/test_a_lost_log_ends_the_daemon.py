"""Somebody removes, replaces or overwrites the files of a database in use: nothing is answered that is lost, and the
daemon ends with a sentence."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess

import httpx
import pytest

from harness.certificates import Certificates
from harness.invited import Invited
from harness.maker import make
from harness.waiting import free_port, wait_until

pytestmark = pytest.mark.once


@pytest.fixture
def invited(tmp_path):
    authority = Certificates(tmp_path / "certificates").authority
    invited = Invited(tmp_path / "invited", xmpp_port=free_port(), authority=authority, log_level="info")
    try:
        invited.start()
        yield invited
    finally:
        if invited.running:
            invited.kill()


class Files:
    """The files of the database, and a backup of some time ago."""

    def __init__(self, invited):
        self.database = invited.data / "invited.sqlite"
        self.log = invited.data / "invited.sqlite-wal"
        self.index = invited.data / "invited.sqlite-shm"
        self.backup = invited.directory / "backup.sqlite"
        self.old_log = invited.directory / "old-log"


def remove(*names):
    def harm(files):
        for name in names:
            getattr(files, name).unlink()

    return harm


def move_away(name):
    def harm(files):
        file = getattr(files, name)
        file.rename(file.with_suffix(".away"))

    return harm


def move_over(files):
    shutil.copy(files.backup, files.database.with_suffix(".new"))
    files.database.with_suffix(".new").rename(files.database)


def copy_over(files):
    """`cp` keeps the inode."""
    files.database.write_bytes(files.backup.read_bytes())


def documented_restore(files):
    remove("log", "index")(files)
    copy_over(files)


def cut_short(name):
    def harm(files):
        os.truncate(getattr(files, name), 0)

    return harm


def old_log_over(files):
    files.log.write_bytes(files.old_log.read_bytes())


def same_log_elsewhere(files):
    shutil.copy(files.log, files.log.with_suffix(".copy"))
    files.log.with_suffix(".copy").rename(files.log)


HARMS = {
    "rm -wal": (remove("log"), "invited.sqlite-wal was removed"),
    "rm -shm": (remove("index"), "invited.sqlite-shm was removed"),
    "rm -wal -shm": (remove("log", "index"), "invited.sqlite-wal was removed"),
    "rm": (remove("database"), "invited.sqlite was removed"),
    "mv away": (move_away("database"), "invited.sqlite was removed"),
    "mv -wal away": (move_away("log"), "invited.sqlite-wal was removed"),
    "mv over": (move_over, "invited.sqlite was replaced"),
    "mv a copy over -wal": (same_log_elsewhere, "invited.sqlite-wal was replaced"),
    "cp over": (copy_over, "invited.sqlite was written over"),
    "cut -wal": (cut_short("log"), "invited.sqlite-wal was"),
    "cp over -wal": (old_log_over, "invited.sqlite-wal was"),
    "cut": (cut_short("database"), "invited.sqlite was cut short"),
    "restore": (documented_restore, "invited.sqlite-wal was removed"),
}


@pytest.fixture
def files(invited):
    """With invites of before the backup, and of after it."""
    files = Files(invited)
    key = invited.key()
    invited.of_backup = set(make(invited, key, 20))
    invited.output_of("backup", str(files.backup))
    make(invited, key, 20)
    shutil.copy(files.log, files.old_log)
    make(invited, key, 20)
    invited.api_key = key
    return files


@pytest.mark.parametrize("harm", HARMS)
def test_no_invite_is_answered_that_would_be_lost(invited, files, harm):
    do, sentence = HARMS[harm]
    do(files)
    answered = make(invited, invited.api_key, 50)
    assert invited.process.wait(10) == 70
    assert not answered
    assert sentence in invited.output.read_text()


@pytest.mark.parametrize("harm", HARMS)
def test_a_daemon_that_does_nothing_notices_too(invited, files, harm):
    do, sentence = HARMS[harm]
    do(files)
    assert invited.process.wait(10) == 70
    assert sentence in invited.output.read_text()


@pytest.mark.parametrize("harm", HARMS)
def test_readyz_says_it(invited, files, harm):
    do, sentence = HARMS[harm]
    # So that what is done, and the question, come before the daemon's own look at the files.
    invited.process.send_signal(signal.SIGSTOP)
    do(files)
    invited.process.send_signal(signal.SIGCONT)
    try:
        answer = httpx.get(f"{invited.bridge_url}/readyz")
    except httpx.TransportError:
        assert invited.process.wait(10) == 70
    else:
        assert answer.status_code == 503
        assert sentence in answer.text or "malformed" in answer.text, answer.text


@pytest.mark.parametrize(
    "statement",
    [
        "vacuum",
        "delete from registrations",
        "pragma wal_checkpoint(truncate)",
        "pragma wal_checkpoint(restart)",
        "create table notes (text)",
    ],
)
def test_what_goes_through_sqlite_harms_nothing(invited, files, statement):
    """An operator's own tools, between requests and before any."""
    for first in (True, False):
        with contextlib.closing(sqlite3.connect(files.database, isolation_level=None, timeout=20)) as connection:
            connection.execute(statement if first else "vacuum")
        answered = make(invited, invited.api_key, 20)
        assert len(answered) >= 20
        # Longer than the second after which an idle daemon looks.
        with pytest.raises(subprocess.TimeoutExpired):
            invited.process.wait(1.5)
    assert httpx.get(f"{invited.bridge_url}/readyz").status_code == 200
    invited.kill()
    invited.start()
    assert {invite["token"] for invite in invited.invites()}.issuperset(answered)


def test_a_stop_writes_nothing_into_what_was_restored(invited, files):
    documented_restore(files)
    invited.process.send_signal(signal.SIGTERM)
    assert invited.process.wait(10) == 70
    assert files.database.read_bytes() == files.backup.read_bytes()
    for _ in range(2):
        invited.start()
        assert {invite["token"] for invite in invited.invites()} == invited.of_backup
        invited.stop()


@pytest.mark.parametrize("restore", [copy_over, move_over])
def test_a_log_of_another_time_is_not_mixed_into_what_was_restored(invited, files, restore):
    """The step that is forgotten: the log of the database that was replaced lies beside the backup."""
    invited.kill()
    restore(files)
    for command in (invited.argv[1:2], ["key", "create", "localhost"]):
        done = invited.run(*command)
        assert done.returncode == 1
        assert "belongs to another state of" in done.stderr.splitlines()[-1], done.stderr
    assert files.database.read_bytes() == files.backup.read_bytes()

    remove("log", "index")(files)
    invited.start()
    assert {invite["token"] for invite in invited.invites()} == invited.of_backup


def test_a_restart_goes_on_with_what_is_there(invited, files):
    """What lay in the removed log only is lost; what is made from then on is not."""
    remove("log")(files)
    assert invited.process.wait(10) == 70
    invited.start()
    answered = make(invited, invited.api_key, 20) if invited.invites() else []
    invited.kill()
    invited.start()
    there = {invite["token"] for invite in invited.invites()}
    assert there.issuperset(answered)
    wait_until(invited._ready, "it is ready")
