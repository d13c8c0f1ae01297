"""Whatever a stranger sends: a plain refusal, and the next request is answered as if nothing had been."""

import selectors
import socket
import time
from contextlib import suppress

import httpx
import pytest

from harness.site import Site

pytestmark = pytest.mark.once

REQUEST_TIMEOUT = 5
"""As the sites of these tests are configured."""

KEYS = [
    "nonsense",
    "/",
    "a/",
    "/b",
    "a/b/c",
    "%00%01/%ff%fe",
    "%",
    "%zz",
    "a" * 5000,
    "a" * 5000 + "/" + "b" * 3000,
    "🔑/🔑",
]
TOKENS = ["%00", "%ff%fe%fd", "%", "<script>", "../../etc/passwd", "a" * 257, "a" * 6000, "🎫", "a b", "' or 1=1 --"]


@pytest.fixture(autouse=True)
def still_well(site):
    """After each test the next request is answered at once."""
    yield
    site.invited.assert_running()
    assert get(site, "/invite?unknown", timeout=2) == 404


@pytest.mark.parametrize("key", KEYS)
def test_a_strange_key_is_refused(site, key):
    assert get(site, f"/invites_api?key={key}") in (400, 403, 414, 431)


@pytest.mark.parametrize("key", [b"\xff\xfe/\x80", b"a/" + b"b" * 9000, b"a/b\tc", b""])
def test_a_strange_key_in_a_header_is_refused(site, key):
    request = b"GET /invites_api HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + key + b"\r\n\r\n"
    assert send(site, request) in (400, 403, 431)


@pytest.mark.parametrize("token", TOKENS)
def test_a_strange_token_is_not_found(site, token):
    assert get(site, f"/invite?{token}") in (400, 404, 414, 431)
    assert get(site, f"/register?t={token}") in (303, 400, 404, 414, 431)


def test_a_query_of_a_megabyte_is_too_long(site):
    request = b"GET /invite?" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    assert send(site, request) in (414, 431)


def test_ten_thousand_headers_are_too_many(site):
    headers = b"".join(b"X-%d: x\r\n" % number for number in range(10_000))
    assert send(site, b"GET /invite?unknown HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers + b"\r\n") == 431


def test_a_form_of_a_megabyte_is_too_large(site):
    with httpx.Client(base_url=site.invited.url) as http:
        assert http.post("/register", data={"user": "a" * 1_000_000}).status_code == 413


def test_a_head_that_comes_byte_by_byte_is_cut_off(site):
    drip(site, b"GET /invite?unknown HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")


def test_a_body_that_comes_byte_by_byte_is_cut_off(site):
    drip(
        site,
        b"POST /register HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 5000\r\n\r\n",
    )


def test_three_hundred_silent_connections_disturb_nobody_and_are_closed(site):
    connections = [connect(site) for _ in range(300)]
    assert get(site, "/invite?unknown", timeout=2) == 404
    assert_all_closed(connections)


def test_more_connections_than_there_are_places_wait_for_one(tmp_path):
    with Site(tmp_path / "site", max_connections=20) as site:
        connections = [connect(site) for _ in range(40)]
        assert get(site, "/invite?unknown", timeout=6 * REQUEST_TIMEOUT) == 404
        assert_all_closed(connections)


def test_clients_that_ask_and_never_read_lose_their_places(tmp_path):
    with Site(tmp_path / "site", max_connections=2) as site:
        rock = next(
            line for line in httpx.get(f"{site.invited.url}/rocks/index.html").text.split('"') if ".rock" in line
        )
        request = f"GET /rocks/{rock} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() * 400
        greedy = [connect(site) for _ in range(2)]
        for connection in greedy:
            connection.settimeout(1)
            with suppress(TimeoutError, BrokenPipeError, ConnectionResetError):  # it has heard enough
                connection.sendall(request)
        assert get(site, "/invite?unknown", timeout=6 * REQUEST_TIMEOUT) == 404
        for connection in greedy:
            connection.close()


def connect(site):
    return socket.create_connection(("127.0.0.1", site.invited.port), timeout=6 * REQUEST_TIMEOUT)


def get(site, target, timeout=10):
    """The status of a request whose target is sent as it is, in UTF-8."""
    line = f"GET {target.replace(' ', '+')} HTTP/1.1"
    return send(site, f"{line}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode(), timeout)


def send(site, request, timeout=10):
    """The status of the answer, even if the server closes before it has read everything."""
    with connect(site) as connection:
        connection.settimeout(timeout)
        with suppress(BrokenPipeError, ConnectionResetError):  # it has heard enough; its answer is there
            connection.sendall(request)
        return int(connection.recv(4096).split(b" ", 2)[1])


def drip(site, beginning):
    """One byte every half second, until the server closes: long before the request could be complete."""
    with connect(site) as connection, selectors.DefaultSelector() as selector:
        connection.sendall(beginning)
        selector.register(connection, selectors.EVENT_READ)
        deadline = time.monotonic() + 6 * REQUEST_TIMEOUT
        while not selector.select(timeout=0.5):
            assert time.monotonic() < deadline, "the connection is still open"
            connection.sendall(b"a")
        assert_refused_or_closed(connection)


def assert_refused_or_closed(connection):
    try:
        answer = connection.recv(4096)
    except ConnectionResetError:
        return
    assert not answer or int(answer.split(b" ", 2)[1]) in (400, 408), answer


def assert_all_closed(connections):
    for connection in connections:
        with connection:
            assert_refused_or_closed(connection)
