"""A full disk or a read-only database: the cause is named, and nothing is acknowledged that is not stored.

`invited` runs in a mount namespace of its own, with a small disk under its data.
"""

import os
import subprocess

import httpx
import pytest

from harness.certificates import Certificates
from harness.invited import Invited
from harness.waiting import free_port

pytestmark = pytest.mark.once

OWN_MOUNTS = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
SMALL_DISK = 'mount -t tmpfs -o size=2m,mode=0700 none "$0" && exec "$@"'
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
FILLER = 512 * 1024


class InvitedOnDisk(Invited):
    """`mount` is what a shell does with the folder of the data (`$0`) before the daemon (`$@`)."""

    def __init__(self, directory, mount):
        certificates = Certificates(directory / "certificates")
        super().__init__(directory / "invited", xmpp_port=free_port(), authority=certificates.authority)
        self.data.mkdir(mode=0o700)
        self.serve = self.argv
        self.argv = [*OWN_MOUNTS, "sh", "-c", mount, str(self.data), *self.serve]

    def run(self, *arguments, timeout=30):
        """The command line in the daemon's own namespace, where its disk is."""
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        enter = ["nsenter", "--target", str(self.process.pid), "--mount", *user]
        return subprocess.run(
            [*enter, *self.serve[:1], "--config", str(self.config), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
        )

    @property
    def filler(self):
        """A file on the small disk, seen from outside."""
        return f"/proc/{self.process.pid}/root{self.data}/filler"


@pytest.fixture
def small(tmp_path):
    invited = InvitedOnDisk(tmp_path, SMALL_DISK)
    try:
        invited.start()
        yield invited
    finally:
        invited.stop()


def test_a_full_disk_is_no_success_and_does_no_lasting_harm(small):
    headers = {"Authorization": f"Bearer {small.key()}"}
    with open(small.filler, "wb") as filler:
        filler.write(bytes(FILLER))

    with httpx.Client(base_url=small.url, headers=headers) as http:
        acknowledged, answer = [], None
        for _ in range(5000):
            answer = http.post("/invites_api")
            if answer.status_code != 201:
                break
            acknowledged.append(answer.headers["location"].partition("?")[2])
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable"), answer.text
        assert int(answer.headers["retry-after"]) > 0
        assert acknowledged, "some were made before the disk was full"
        assert "full" in small.output.read_text(), "the log names the cause"
        assert http.get("/invite?unknown").status_code == 404, "what only reads goes on"

        os.remove(small.filler)
        after = http.post("/invites_api")
        assert after.status_code == 201, after.text
    acknowledged.append(after.headers["location"].partition("?")[2])
    assert [invite["token"] for invite in small.invites()] == acknowledged

    small.kill()


def test_a_read_only_database_is_named_at_the_start(tmp_path):
    invited = InvitedOnDisk(tmp_path, READ_ONLY)
    subprocess.run(
        [*invited.serve[:1], "--config", str(invited.config), "invite", "create", "localhost"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    done = subprocess.run(invited.argv, capture_output=True, text=True, timeout=30, env=invited.environment)
    assert done.returncode in (1, 2), done
    told = done.stderr.splitlines()[-1].lower()
    assert "invited.sqlite" in told, done.stderr
    assert "read-only" in told or "readonly" in told, done.stderr
