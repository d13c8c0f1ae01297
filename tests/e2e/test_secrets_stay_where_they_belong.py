"""No token, key or password in any log, at any level; nothing in the database that a thief could use."""

import re
import subprocess
import urllib.parse

import httpx
import pytest

from harness import chat
from harness.loop import run
from harness.site import PASSWORD, Site

PASSWORD_ON_PAGE = "Seven seas & one boat"
WRONG_TOKEN = "Wrong5Token5Wrong5Token5"
WRONG_KEY = "wrongkey/wrongsecretwrongsecretwrongsecret"


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A site on which everything happened once with the most talkative logs, and the secrets of that."""
    with Site(tmp_path_factory.mktemp("site"), log_level="trace") as site:
        key = site.invited.key("My test key")
        app, page, fixed = (site.invited.invite(*options)["token"] for options in ([], [], ["--username", "held"]))
        contact = site.invited.contact_invite("in-app")["token"]

        with httpx.Client(base_url=site.invited.url) as http:
            by_query = http.get("/invites_api", params={"key": key})
            by_header = http.post("/invites_api", headers={"Authorization": f"Bearer {key}"})
            for token in (page, WRONG_TOKEN):
                http.get(f"/invite?{token}")
            assert http.get("/invites_api", params={"key": WRONG_KEY}).status_code == 403
            assert http.get("/invites_api", headers={"Authorization": f"Bearer {WRONG_KEY}"}).status_code == 403
            http.post("/register", data={"token": page, "user": "forged", "password": PASSWORD, "csrf": "none"})
        run(chat.register(site.prosody, app, "in-app", PASSWORD))
        site.prosody.add_account("theo", PASSWORD)
        run(_make_contact(site, contact))
        assert site.register_on_page(page, "on-page", PASSWORD_ON_PAGE).accepted
        assert not site.register(WRONG_TOKEN, "wrong").accepted
        assert not site.register(fixed, "not-held").accepted

        made = [urllib.parse.urlsplit(answer.headers["Location"]).query for answer in (by_query, by_header)]
        assert all(re.fullmatch(r"\w{24}", token) for token in made), made
        yield (
            site,
            {
                "the key": key,
                "its secret": key.partition("/")[2],
                "a wrong key": WRONG_KEY.partition("/")[2],
                "the app's token": app,
                "the page's token": page,
                "a held token": fixed,
                "a contact token": contact,
                "a token by query key": made[0],
                "a token by header key": made[1],
                "a wrong token": WRONG_TOKEN,
                "the app's password": PASSWORD,
                "the page's password": PASSWORD_ON_PAGE,
                "the bridge secret": site.invited.secret_file.read_text().strip(),
            },
        )


def test_no_log_holds_a_secret(story):
    site, secrets = story
    for log in (site.invited.output, site.prosody.log, site.prosody.output):
        found = _secrets_in(log.read_text(errors="replace"), secrets)
        assert not found, f"{log.name} holds {found}"


def test_the_logs_do_tell_of_what_happened(story):
    """Otherwise the test above would look into the wrong files."""
    site, _ = story
    assert "/register" in site.invited.output.read_text()
    assert "in-app@localhost" in site.prosody.log.read_text()


def test_a_dump_of_the_database_holds_no_secret(story):
    site, secrets = story
    databases = [
        file
        for file in site.invited.data.iterdir()
        if file.is_file() and file.read_bytes().startswith(b"SQLite format 3")
    ]
    assert len(databases) == 1, databases
    dump = subprocess.run(["sqlite3", databases[0], ".dump"], capture_output=True, text=True, check=True).stdout
    assert "My test key" in dump
    assert _secrets_in(dump, secrets) == set()


def test_the_bridge_secret_is_its_owners(story):
    site, _ = story
    assert site.invited.secret_file.stat().st_mode & 0o777 == 0o600


def _secrets_in(text, secrets):
    """The names of those that the text holds: plain, as in an address or a form, or as the bytes of a blob."""
    text = text.lower()
    return {
        what
        for what, secret in secrets.items()
        for form in (
            secret,
            urllib.parse.quote(secret, safe=""),
            urllib.parse.quote_plus(secret),
            secret.encode().hex(),
        )
        if form.lower() in text
    }


async def _make_contact(site, token):
    async with chat.signed_in(site.prosody, "theo", PASSWORD) as client:
        client.subscribe("in-app@localhost", token)
        await client.ping()
