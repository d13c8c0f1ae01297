"""A reset token sets one user's password, once, whichever way it comes, and ends that user's sessions."""

import asyncio

import httpx
import pytest

from harness import chat
from harness.loop import run
from harness.site import PASSWORD, Site
from harness.waiting import wait_until

NEW = "Quite another password"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), modules=["http", "e2e_text_reset", "e2e_new_passwords"]) as site:
        yield site


def reset_in_band(site, token, name):
    return site.register(token, name, NEW).accepted


def reset_on_page(site, token, name):
    return site.register_on_page(token, name, NEW).accepted


def reset_with_a_text(site, token, name):
    body = f"{token} {name} {NEW.replace(' ', '-')}"
    return httpx.post(f"http://127.0.0.1:{site.prosody.http_port}/e2e_text_reset", content=body).status_code == 200


ROADS = pytest.mark.parametrize("reset", [reset_in_band, reset_on_page, reset_with_a_text])


@ROADS
def test_the_new_password_is_good_and_the_old_one_is_not(site, reset):
    name, token = new_reset(site, reset)
    assert reset(site, token, name)
    assert not can_sign_in(site, name, PASSWORD)
    assert can_sign_in(site, name, password_after(reset))


@ROADS
def test_open_sessions_end(site, reset):
    name, token = new_reset(site, reset)

    async def while_signed_in():
        async with chat.signed_in(site.prosody, name, PASSWORD) as client:
            ended = asyncio.get_running_loop().create_future()
            client.add_event_handler("disconnected", lambda _: ended.done() or ended.set_result(True))
            client.auto_reconnect = False
            assert await asyncio.to_thread(reset, site, token, name)
            return await asyncio.wait_for(ended, 10)

    assert run(while_signed_in())


@ROADS
def test_other_modules_hear_of_the_new_password_once(site, reset):
    name, token = new_reset(site, reset)
    assert reset(site, token, name)
    file = site.prosody.directory / "data" / "localhost" / "e2e_new_passwords" / f"{name.replace('-', '%2d')}.dat"
    assert '["count"] = 1;' in file.read_text()


@ROADS
def test_the_token_is_dead_afterwards(site, reset):
    name, token = new_reset(site, reset)
    assert reset(site, token, name)
    wait_until(lambda: site.invited.show(token)["state"] == "used", "the use is counted")
    for again in (reset_in_band, reset_on_page, reset_with_a_text):
        assert not again(site, token, name)


@ROADS
def test_nobody_else_is_reset(site, reset):
    name, token = new_reset(site, reset)
    other, _ = new_reset(site, reset)
    assert not reset(site, token, other)
    assert can_sign_in(site, other, PASSWORD)
    assert site.invited.uses(token) == 0
    assert reset(site, token, name), "the attempt cost nothing"


@ROADS
def test_no_account_is_made(site, reset):
    _, token = new_reset(site, reset)
    before = site.prosody.accounts()
    assert not reset(site, token, "a-new-name")
    assert site.prosody.accounts() == before


@ROADS
def test_a_pending_invite_for_the_name_is_in_no_ones_way(site, reset):
    name, token = new_reset(site, reset)
    pending = site.invited.invite("--username", name, "--force")["token"]
    assert reset(site, token, name)
    assert can_sign_in(site, name, password_after(reset))
    assert site.invited.show(pending)["state"] == "open"


numbers = iter(range(1000))


def new_reset(site, reset):
    """An account and the token of a reset of its password."""
    name = f"{reset.__name__.replace('_', '-')}-{next(numbers)}"
    site.prosody.add_account(name, PASSWORD)
    return name, site.invited.reset_invite(name)["token"]


def password_after(reset):
    return NEW.replace(" ", "-") if reset is reset_with_a_text else NEW


def can_sign_in(site, name, password):
    async def sign_in():
        try:
            async with chat.signed_in(site.prosody, name, password):
                return True
        except chat.SignInFailed:
            return False

    return run(sign_in())
