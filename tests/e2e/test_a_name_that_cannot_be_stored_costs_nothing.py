"""Whatever an attempt fails of, the use that it took is free again soon, or the operator is told and settles it."""

import asyncio

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
