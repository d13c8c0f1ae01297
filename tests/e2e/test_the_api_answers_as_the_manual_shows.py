"""The documented session with keys and `curl`, line by line, and what else the API must and must not do."""

import re
import subprocess
from contextlib import contextmanager

import httpx
import pytest

CORS = {
    "access-control-max-age": "7200",
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "Content-Type",
    "content-length": "0",
}
PREFETCH = [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}, {"X-Moz": "prefetch"}]


@pytest.fixture(scope="module")
def key(site):
    return site.invited.output_of("mod_invites_api", "create", "localhost", "My test key")


@pytest.fixture
def http(site):
    with httpx.Client(base_url=site.invited.url) as http:
        yield http


def curl(*arguments):
    """Status and headers as `curl -v` prints them."""
    done = subprocess.run(
        ["curl", "-v", "--silent", "--output", "/dev/null", "--max-time", "10", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    status, *headers = [line.removeprefix("< ").rstrip() for line in done.stderr.splitlines() if line.startswith("< ")]
    return status, {name.lower(): value for name, _, value in (header.partition(": ") for header in headers if header)}


@contextmanager
def creating(site, number):
    """Within it exactly `number` invites are made."""
    before = ids(site)
    yield
    assert len(ids(site) - before) == number


def ids(site):
    return {invite["id"] for invite in site.invited.invites()}


def test_the_documented_session(site):
    invited = site.invited
    key = invited.output_of("mod_invites_api", "create", "localhost", "My test key")
    assert re.fullmatch(r"[\w-]{8}/[\w-]{32}", key), key

    status, headers = curl(f"{invited.url}/invites_api?key={key}")
    assert status == "HTTP/1.1 201 Created"
    assert re.fullmatch(re.escape(invited.url) + r"/invite\?[A-Za-z0-9]{24}", headers["location"])
    assert CORS.items() <= headers.items(), headers
    assert set(headers["access-control-allow-methods"].split(", ")) == {"OPTIONS", "GET"}
    assert headers["connection"].lower() == "keep-alive"
    assert "date" in headers

    status, headers = curl(f"{invited.url}/invites_api?key={key}&redirect=true")
    assert status == "HTTP/1.1 303 See Other"
    assert headers["location"].startswith(f"{invited.url}/invite?")

    status, headers = curl("-H", f"Authorization: Bearer {key}", f"{invited.url}/invites_api")
    assert status == "HTTP/1.1 201 Created"

    key_id = key.partition("/")[0]
    listed = invited.output_of("mod_invites_api", "list", "localhost").splitlines()
    assert f"{key_id}\tMy test key" in listed
    assert invited.output_of("mod_invites_api", "delete", "localhost", key_id) == ""
    status, _ = curl(f"{invited.url}/invites_api?key={key}")
    assert status == "HTTP/1.1 403 Forbidden", "a deleted key is dead for the very next request"
    assert key_id not in invited.output_of("mod_invites_api", "list", "localhost")


def test_the_link_of_the_api_is_a_good_invite(site, http, key):
    location = http.get("/invites_api", params={"key": key}).headers["location"]
    assert httpx.get(location).status_code == 200
    assert site.register(location.partition("?")[2], "by-the-api").accepted


def test_deleting_an_unknown_key_is_an_error(site):
    done = site.invited.run("mod_invites_api", "delete", "localhost", "unknown1")
    assert done.returncode == 1
    assert "key" in done.stdout + done.stderr


def test_a_key_without_a_name_is_listed_as_unknown(site):
    key_id = site.invited.output_of("mod_invites_api", "create", "localhost").partition("/")[0]
    assert f"{key_id}\t<unknown>" in site.invited.output_of("mod_invites_api", "list", "localhost").splitlines()


def test_an_unknown_host_is_an_error(site):
    assert site.invited.run("mod_invites_api", "create", "elsewhere.example").returncode == 1


@pytest.mark.parametrize(
    ("redirect", "status"),
    [
        ("redirect=true", 303),
        ("redirect=1", 303),
        ("redirect=", 303),
        ("redirect", 303),
        ("redirect=false", 201),
        ("redirect=0", 201),
        ("", 201),
    ],
)
def test_redirect_leads_to_the_invite_unless_it_says_no(http, key, redirect, status):
    assert http.get(f"/invites_api?key={key}&{redirect}").status_code == status


def test_post_makes_an_invite(site, http, key):
    with creating(site, 2):
        assert http.post("/invites_api", params={"key": key}).status_code == 201
        assert http.post("/invites_api", headers={"Authorization": f"Bearer {key}"}).status_code == 201


@pytest.mark.parametrize("query", ["", "?", "?key=", "?key=nonsense", "?key=a/b", "?redirect=true"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_good_key_everything_is_refused(site, http, method, query):
    with creating(site, 0):
        assert http.request(method, f"/invites_api{query}").status_code == 403


@pytest.mark.parametrize(
    "authorization", ["Bearer nonsense", "bearer {key}", "Basic {key}", "Bearer {key} more", "{key}"]
)
def test_a_bad_header_is_refused_even_beside_a_good_query_key(site, http, key, authorization):
    with creating(site, 0):
        headers = {"Authorization": authorization.format(key=key)}
        assert http.get("/invites_api", params={"key": key}, headers=headers).status_code == 403


def test_a_key_of_another_secret_is_refused(http, key):
    assert http.get("/invites_api", params={"key": key[:-1] + ("A" if key[-1] != "A" else "B")}).status_code == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_told_which_there_are(site, http, key, method):
    with creating(site, 0):
        answer = http.request(method, "/invites_api", params={"key": key})
    assert answer.status_code == 405
    assert {"GET", "POST", "OPTIONS"} <= set(answer.headers["allow"].replace(" ", "").split(","))


def test_head_never_makes_an_invite(site, http, key):
    with creating(site, 0):
        assert http.head("/invites_api", params={"key": key}).status_code not in (201, 303)
        http.head("/invites_api", headers={"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("headers", PREFETCH)
def test_a_browser_that_looks_ahead_makes_no_invite(site, http, key, headers):
    with creating(site, 0):
        assert http.get("/invites_api", params={"key": key, "redirect": "true"}, headers=headers).status_code >= 400


def test_options_asks_before_it_sends(site, http):
    with creating(site, 0):
        answer = http.options("/invites_api", headers={"Origin": "https://portal.example"})
    assert answer.status_code == 200
    assert answer.headers["access-control-max-age"] == "7200"
    assert answer.headers["access-control-allow-origin"] in ("*", "https://portal.example")
