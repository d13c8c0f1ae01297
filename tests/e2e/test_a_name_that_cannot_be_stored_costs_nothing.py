"""Whatever an attempt fails of, the use that it took is free again soon, or the operator is told and settles it."""

import asyncio
import subprocess

import pytest

from harness.loop import run
from harness.site import PASSWORD, Site
from harness.waiting import wait_until

# 43 of these letters are 258 bytes once Prosody has written them as %d0%b6 in the name of a file; 41 fit.
LONG = ["ж" * 43, "a" * 251]
SHORT_ENOUGH = ["ж" * 41, "a" * 249]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), host_options='usernames = "any"') as site:
        yield site


@pytest.mark.parametrize("name", LONG)
def test_a_name_that_is_too_long_is_refused_before_a_use_is_taken(site, name):
    token = site.invited.invite()["token"]
    refused = site.register(token, name)
    assert (refused.kind, refused.condition) == ("modify", "not-acceptable")
    assert "too long" in refused.text
    on_page = site.register_on_page(token, name)
    assert on_page.status == 422 and "too long" in on_page.text
    assert site.invited.uses(token) == 0
    assert site.register(token, f"short-{len(name)}").accepted


@pytest.mark.parametrize("name", SHORT_ENOUGH)
def test_a_name_that_just_fits_makes_an_account_with_all_that_belongs_to_it(site, name):
    site.prosody.add_account("nora", PASSWORD)
    token = site.invited.contact_invite("nora", "--allow-registration")["token"]
    assert site.register(token, name).accepted
    assert f"{name}@localhost" in site.prosody.contacts("nora")


def test_a_failed_attempt_gives_its_use_back_although_its_stream_stays_open(site):
    accounts = site.prosody.directory / "data" / "localhost" / "accounts"
    token = site.invited.invite()["token"]

    async def attempt():
        async with await site.stream() as stream:
            assert (await stream.present(token)).accepted
            # Prosody cannot write the account: its scratch file is a folder.
            (accounts / "kim.dat~").mkdir(parents=True)
            assert not (await stream.register("kim", PASSWORD)).accepted
            assert site.invited.uses(token) == 1
            # The module gives an attempt half a minute before it asks what came of it.
            await asyncio.to_thread(wait_until, lambda: site.invited.uses(token) == 0, "the use is free again", 60)

    run(attempt(), 90)
    (accounts / "kim.dat~").rmdir()
    assert site.register(token, "kim").accepted


def test_what_the_server_cannot_say_the_operator_is_told_and_settles(site):
    token = site.invited.invite()["token"]
    # Prosody can neither write this account nor read whether it is there: its file is a folder.
    account = site.prosody.directory / "data" / "localhost" / "accounts" / "lena.dat"
    account.mkdir(parents=True)
    assert not site.register(token, "lena").accepted
    early = site.invited.run("invite", "settle", "localhost", token, "--not-made")
    assert early.returncode == 1 and "may still be going on" in early.stderr

    make_attempts_older(site, 3600)
    # The module gives an attempt half a minute before it asks what came of it.
    wait_until(lambda: "lena@localhost was made" in site.prosody.log.read_text(), "the log says so", 60)
    assert site.invited.uses(token) == 1, "nothing was guessed"
    shown = site.invited.output_of("invite", "show", "localhost", token)
    assert "lena@localhost (not finished for 1 hour" in shown
    found = site.invited.run("doctor").stdout
    assert "an attempt at lena" in found and "invited invite settle localhost" in found

    site.invited.output_of("invite", "settle", "localhost", token, "--not-made", "--username", "lena")
    assert site.invited.uses(token) == 0
    assert "an attempt at lena" not in site.invited.run("doctor").stdout
    account.rmdir()
    assert site.register(token, "lena").accepted
    again = site.invited.run("invite", "settle", "localhost", token, "--made")
    assert again.returncode == 1, "there is nothing left to settle"


def make_attempts_older(site, seconds):
    statement = f"update registrations set reserved_at = reserved_at - {seconds} where confirmed_at is null"
    subprocess.run(["sqlite3", site.invited.data / "invited.sqlite", statement], check=True)
