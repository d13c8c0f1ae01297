"""`prosodyctl mod_invites_api` and `/invites_api` at Prosody's own port, over the keys of invited."""

import re

import httpx
import pytest

from harness.site import Site

DOCUMENTED = {
    "access-control-allow-headers": "Content-Type",
    "access-control-allow-methods": "OPTIONS, GET",
    "access-control-allow-origin": "*",
    "access-control-max-age": "7200",
    "connection": "Keep-Alive",
    "content-length": "0",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), modules=["http", "invites_api"]) as site:
        yield site


@pytest.fixture(scope="module")
def address(site):
    return f"http://127.0.0.1:{site.prosody.http_port}/invites_api"


@pytest.fixture(scope="module")
def key(site):
    return command(site, "create", "localhost", "Prosody's port")


def command(site, *words, status=0):
    done = site.prosody.control("mod_invites_api", *words)
    assert (done.returncode, done.stderr) == (status, ""), done.stdout + done.stderr
    return done.stdout.strip()


def test_a_key_of_prosodyctl_is_a_key_of_invited(site):
    key = command(site, "create", "localhost", "My test key")
    assert re.fullmatch(r"[\w-]{8}/[\w-]{32}", key)
    name = key.partition("/")[0]
    assert f"{name}\tMy test key" in command(site, "list", "localhost").splitlines()
    assert site.invited.output_of("key", "list", "localhost") == command(site, "list", "localhost")
    assert httpx.post(f"{site.invited.url}/invites_api", params={"key": key}).status_code == 201

    assert command(site, "delete", "localhost", name) == ""
    assert httpx.post(f"{site.invited.url}/invites_api", params={"key": key}).status_code == 403
    assert command(site, "delete", "localhost", name, status=1) == "Error: key not found"


def test_a_key_without_a_name_is_listed_as_unknown(site):
    name = command(site, "create", "localhost").partition("/")[0]
    assert f"{name}\t<unknown>" in command(site, "list", "localhost").splitlines()


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ([], 2, "Usage:"),
        (["--help"], 2, "Usage:"),
        (["create"], 1, "Error: please supply a valid host"),
        (["list", "elsewhere.example"], 1, "Error: please supply a valid host"),
        (["create", "localhost", "two", "words"], 1, "Error: put quotes around a key name with spaces"),
        (["delete", "localhost"], 1, "Error: key not found"),
        (["renew", "localhost"], 1, "Unknown command - renew"),
        (["create", "localhost", "x" * 300], 1, "Error: name: a name is one line of at most 200 bytes"),
    ],
)
def test_a_wrong_command_says_so_and_does_not_exit_with_0(site, words, status, says):
    assert says in command(site, *words, status=status)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_good_key_gives_an_invite_with_the_documented_headers(site, address, key, method):
    made = httpx.request(method, address, params={"key": key})
    assert made.status_code == 201
    assert {name: made.headers.get(name) for name in DOCUMENTED} == DOCUMENTED
    assert "date" in made.headers

    location = made.headers["location"]
    assert location.startswith(f"{site.invited.url}/invite?"), location
    token = location.partition("?")[2]
    assert site.invited.show(token)["source"] == f"api/token/{key.partition('/')[0]}"
    assert site.register(token, f"by-{method.lower()}").accepted


def test_a_bookmark_redirects_to_the_invite(site, address, key):
    made = httpx.get(f"{address}?key={key}&redirect=true")
    assert made.status_code == 303
    assert httpx.get(made.headers["location"]).status_code == 200


def test_the_key_may_come_in_the_authorization_header_without_any_query(address, key):
    assert httpx.get(address, headers={"Authorization": f"Bearer {key}"}).status_code == 201
    assert httpx.get(address, headers={"Authorization": f"bearer {key}"}, params={"key": key}).status_code == 403


def test_whatever_may_not_make_an_invite_makes_none(site, address, key):
    before = len(site.invited.invites())
    wrong = f"{key[:-1]}{'a' if key[-1] != 'a' else 'b'}"
    refused = [
        (httpx.get(address), 403),
        (httpx.get(f"{address}?key"), 403),
        (httpx.get(address, params={"key": wrong}), 403),
        (httpx.head(address, params={"key": key}), 405),
        (httpx.get(address, params={"key": key}, headers={"Sec-Purpose": "prefetch;prerender"}), 403),
        (httpx.get(address, params={"key": key}, headers={"X-Moz": "prefetch"}), 403),
        (httpx.options(address, params={"key": key}), 200),
    ]
    assert [answer.status_code for answer, _ in refused] == [status for _, status in refused]
    assert all(answer.headers["access-control-allow-methods"] == "OPTIONS, GET" for answer, _ in refused)
    assert len(site.invited.invites()) == before


def test_a_key_that_has_made_enough_today_is_told_when_it_may_again(site, address):
    key = site.invited.key("a little", "--max-per-day", "1")
    assert httpx.post(address, params={"key": key}).status_code == 201
    refused = httpx.post(address, params={"key": key})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 86_400


def test_without_invited_the_port_answers_503_and_the_command_says_what_is_wrong(site, address, key):
    site.invited.stop()
    try:
        assert httpx.get(address, params={"key": key}).status_code == 503
        assert "invited does not answer" in command(site, "list", "localhost", status=1)
    finally:
        site.invited.start()
    assert httpx.get(address, params={"key": key}).status_code == 201
