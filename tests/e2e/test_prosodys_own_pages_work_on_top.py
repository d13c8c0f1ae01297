"""Prosody's community modules for the API and the pages do not notice that the invites are ours."""

import re

import httpx
import pytest

from harness.site import Site
from harness.waiting import wait_until


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    modules = ["http", "invites_api", "invites_page", "register_apps"]
    without = ["mod_invites_api.lua"]
    with Site(tmp_path_factory.mktemp("site"), modules=modules, without=without) as site:
        yield site


@pytest.fixture(scope="module")
def prosody_url(site):
    return f"http://127.0.0.1:{site.prosody.http_port}"


@pytest.fixture(scope="module")
def key(site):
    done = site.prosody.control("mod_invites_api", "create", "localhost", "Prosody's key")
    return re.search(r"^[\w-]{12}/[\w-]{36}$", done.stdout, re.MULTILINE)[0]


def test_the_api_of_prosody_makes_an_invite_whose_page_and_token_are_good(site, prosody_url, key):
    made = httpx.get(f"{prosody_url}/invites_api", params={"key": key})
    assert made.status_code == 201
    location = made.headers["location"]
    assert location.startswith(f"{prosody_url}/invites_page?"), location

    token = location.partition("?")[2]
    page = httpx.get(location)
    assert page.status_code == 200
    assert page.headers["link"] == f'<xmpp:localhost?register;preauth={token}>; rel="alternate"'

    assert site.register(token, "by-prosodys-page").accepted
    # Prosody confirms the use in the background.
    wait_until(lambda: "link" not in httpx.get(location).headers, "it is used up")
    assert not site.register(token, "once-more").accepted
    assert site.invited.uses(token) == 1


def test_the_setup_page_of_prosody_is_there(site, prosody_url, key):
    location = httpx.get(f"{prosody_url}/invites_api", params={"key": key}).headers["location"]
    assert httpx.get(location.replace("/invites_page?", "/invites_page/setup/conversations?")).status_code == 200


def test_prosodyctl_prints_a_link_of_ours(site):
    done = site.prosody.control("mod_invites", "generate", "localhost")
    assert done.returncode == 0, done.stdout + done.stderr
    token = re.search(r"(?:preauth=|\?)([A-Za-z0-9]{24})$", done.stdout.strip())[1]
    assert site.invited.uses(token) == 0
    assert site.register(token, "by-prosodyctl").accepted


@pytest.mark.parametrize("with_module", [False, True])
def test_the_option_invites_page_is_for_the_module_of_that_name(tmp_path, with_module):
    modules = ["http", "invites_page", "register_apps"] if with_module else []
    page = "https://elsewhere.example/{invite.token}"
    with Site(tmp_path / "site", modules=modules, options={"invites_page": page}) as site:
        link = site.prosody.control("shell", 'invite:create_account("localhost")').stdout
        assert ("https://elsewhere.example/" in link) is with_module
        assert ("The option invites_page has no effect" in site.prosody.log.read_text()) is not with_module
