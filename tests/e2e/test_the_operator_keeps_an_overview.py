"""`doctor`, `backup` and `user show` on a desk that is at work."""

import json
import re
import sqlite3
import threading

import httpx

from harness import chat
from harness.loop import run
from harness.site import PASSWORD
from harness.waiting import wait_until


def test_doctor_finds_nothing_amiss(site):
    done = wait_until(lambda: _doctor(site), "the module has asked")
    assert "Everything works." in done.stdout
    assert re.search(r"localhost: the XMPP server at 127\.0\.0\.1:\d+ takes invite tokens", done.stdout), done.stdout
    assert re.search(r"localhost: Prosody's module asked \d+ s ago", done.stdout), done.stdout


def test_doctor_says_that_prosody_is_down(site):
    site.prosody.stop()
    done = site.invited.run("doctor")
    site.prosody.start()
    assert done.returncode == 1
    assert "PROBLEM  localhost: " in done.stdout, done.stdout


def test_a_backup_under_load_holds_whatever_was_answered_before_it(site, tmp_path):
    """One moment of the database, taken while invites are made as fast as they can be."""
    headers = {"Authorization": f"Bearer {site.invited.key()}"}
    answered, ended = [], threading.Event()

    def make_invites():
        with httpx.Client(base_url=site.invited.url, headers=headers) as http:
            while not ended.is_set():
                made = http.post("/invites_api")
                assert made.status_code == 201
                answered.append(made.headers["location"])

    workers = [threading.Thread(target=make_invites) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        wait_until(lambda: len(answered) > 200, "invites are being made")
        before = len(answered)
        copy = tmp_path / "copy.sqlite"
        told = site.invited.output_of("backup", str(copy))
    finally:
        ended.set()
        for worker in workers:
            worker.join()
    assert "link.key" in told
    with sqlite3.connect(copy) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        assert database.execute("select count(*) from invites").fetchone()[0] >= before
    assert copy.stat().st_mode & 0o777 == 0o600


def test_who_invited_whom_is_a_tree(site):
    """nora invites theo from her chat app, theo invites ada."""
    first = site.invited.invite()["token"]
    assert site.register(first, "nora").accepted
    for inviter, invitee in (("nora", "theo"), ("theo", "ada")):
        token = run(_invite_from_app(site, inviter))
        assert site.register(token, invitee).accepted

    shown = wait_until(lambda: _invited(site, "nora", 1), "the registrations are confirmed")
    assert [branch["username"] for branch in shown["invited"]] == ["theo"]
    assert [branch["username"] for branch in shown["invited"][0]["invited"]] == ["ada"]

    drawn = site.invited.output_of("user", "show", "ada@localhost")
    assert re.search(r"ada was invited by theo, .*\n +theo was invited by nora, .*\n +nora was invited by", drawn), (
        drawn
    )
    assert "└─ theo" in site.invited.output_of("user", "show", "nora@localhost")


async def _invite_from_app(site, inviter):
    async with chat.signed_in(site.prosody, inviter, PASSWORD) as client:
        uri = (await client.command("urn:xmpp:invite#invite")).fields["uri"]
        return re.search(r"preauth=(\w+)", uri)[1]


def _invited(site, name, at_least):
    shown = json.loads(site.invited.output_of("user", "show", f"{name}@localhost", "--json"))
    found = shown["invited"]
    return shown if len(found) >= at_least and found[0]["invited"] else None


def _doctor(site):
    done = site.invited.run("doctor")
    return done if done.returncode == 0 else None
