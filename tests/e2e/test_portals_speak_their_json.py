"""What an unmodified portal asks of /admin_api and /register_api, and what it counts on in the answers."""

import asyncio
import json
import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPResponse

import httpx
import pytest

from harness import chat
from harness.chat import SignInFailed, exchange_a_message, signed_in
from harness.loop import begin, run
from harness.site import PASSWORD, Site
from harness.waiting import wait_until

ADMIN_SCOPE = "prosody:scope:admin"
FIRST = "First life of nine"

INVITE = {
    "id": str,
    "type": str,
    "reusable": bool,
    "jid": str,
    "uri": str,
    "landing_page": str,
    "created_at": int,
    "expires": int,
    "groups": list,
    "roles": list,
    "source": str,
    "reset": bool,
    "additional_data": dict,
}
PUBLIC = {
    "site_name": str,
    "token": str,
    "domain": str,
    "uri": str,
    "type": str,
    "jid": str,
    "created_at": int,
    "expires": int,
    "additional_data": dict,
}
REFUSAL = {"error": dict, "type": str, "code": int, "reason": str}
NOTHING = "JSON that says nothing"


@dataclass
class Call:
    """One request of the portal; `{name}` in it stands for the id that an earlier answer had under that name.

    `form` is the type of each member of the answer, `says` the values that the portal acts on, `keep` the name
    for the answer's id.
    """

    request: str
    status: int
    send: object = None
    form: object = None
    says: dict = field(default_factory=dict)
    keep: str | None = None
    headers: dict = field(default_factory=dict)


ADMIN = [
    Call("GET /admin_api/invites", 200, form=list),
    # 0.12-era portals send an empty object or nothing at all, later ones every field.
    Call("POST /admin_api/invites/account", 200, form=INVITE, keep="bare", says={"reusable": False, "reset": False}),
    Call(
        "POST /admin_api/invites/account",
        200,
        {"groups": []},
        INVITE,
        {"type": "register", "jid": "localhost"},
        keep="second",
    ),
    Call(
        "POST /admin_api/invites/account",
        200,
        {"username": "portal-theo", "ttl": 3600, "groups": ["family"]},
        INVITE,
        {"jid": "portal-theo@localhost", "groups": ["family"], "reusable": False},
        keep="theo",
    ),
    Call(
        "POST /admin_api/invites/account",
        200,
        {
            "username": None,
            "groups": [],
            "roles": ["prosody:member"],
            "note": "plumber",
            "additional_data": {"email": "p@mail.example"},
        },
        {**INVITE, "note": str},
        {"roles": ["prosody:member"], "note": "plumber", "additional_data": {"email": "p@mail.example"}},
        keep="plumber",
    ),
    Call(
        "POST /admin_api/invites/group",
        200,
        {"groups": ["family"], "ttl": 86400},
        INVITE,
        {"reusable": True, "groups": ["family"]},
        keep="family",
    ),
    Call("POST /admin_api/invites/group", 200, {"groups": ["family"]}, INVITE, {"reusable": False}),
    Call("POST /admin_api/invites/group", 400, {"ttl": 86400}, REFUSAL),
    Call("POST /admin_api/invites/reset", 400, {}, REFUSAL),
    Call("POST /admin_api/invites/other", 400, {}, REFUSAL),
    Call("POST /admin_api/invites/account", 400, {"ttl": "1 day"}, REFUSAL, {"field": "ttl"}),
    # As Snikket's portal sends a form, and as Prose's client sends its own.
    Call(
        "POST /admin_api/invites/account",
        200,
        b'{"groups": ["family"], "roles": ["prosody:registered"], "ttl": "604800", "note": ""}',
        INVITE,
        {"groups": ["family"], "roles": ["prosody:registered"], "additional_data": {}},
    ),
    Call(
        "POST /admin_api/invites/account",
        200,
        b'{\n  "username": "portal-prose",\n  "ttl": 259200,\n  "groups": [\n    "team"\n  ],\n  "roles": [],\n'
        b'  "additional_data": {\n    "email": "p@mail.example"\n  }\n}',
        INVITE,
        {"jid": "portal-prose@localhost", "additional_data": {"email": "p@mail.example"}},
        headers={"Content-Type": "application/json; charset=utf-8"},
    ),
    Call("POST /admin_api/invites/account", 400, b"not json", REFUSAL),
    Call("POST /admin_api/invites/account", 400, b"{}", REFUSAL, headers={"Content-Type": "text/plain"}),
    Call("GET /admin_api/invites/{theo}", 200, form=INVITE, says={"jid": "portal-theo@localhost"}),
    Call("GET /admin_api/invites/unknown-unknown", 404, form=REFUSAL, says={"reason": "invite_unknown"}),
    Call("DELETE /admin_api/invites/{second}", 200, form=NOTHING),
    Call("GET /admin_api/invites/{second}", 404, form=REFUSAL),
    Call("DELETE /admin_api/invites/{second}", 200, form=NOTHING),
    Call("DELETE /admin_api/invites/unknown-unknown", 404, form=REFUSAL),
]
NEWCOMER = [
    Call("GET /register_api/invite/{bare}", 200, form=PUBLIC, says={"domain": "localhost", "type": "register"}),
    Call(
        "GET /register_api/invite/{theo}",
        200,
        form=PUBLIC,
        says={"jid": "portal-theo@localhost", "additional_data": {"groups": ["family"]}},
    ),
    Call(
        "GET /register_api/invite/{plumber}",
        200,
        form=PUBLIC,
        says={"additional_data": {"roles": ["prosody:member"], "email": "p@mail.example"}},
    ),
    Call("GET /register_api/invite/{second}", 404, form=REFUSAL),
    Call("POST /register_api/register", 400, b"not json", REFUSAL),
    Call("POST /register_api/register", 400, b"", REFUSAL),
    Call(
        "POST /register_api/register",
        400,
        b'{"username":"portal-theo","password":"Nine lives, one cat","token":"{theo}"}',
        REFUSAL,
        headers={"Content-Type": "text/json; charset=utf-8"},
    ),
    Call(
        "POST /register_api/register",
        400,
        {"username": "", "password": PASSWORD, "token": "{family}"},
        REFUSAL,
        {"field": "username"},
    ),
    Call(
        "POST /register_api/register",
        400,
        {"username": "a@b", "password": PASSWORD, "token": "{family}"},
        REFUSAL,
        {"field": "username"},
    ),
    Call(
        "POST /register_api/register",
        400,
        {"username": "portal-weak", "password": "x", "token": "{family}"},
        REFUSAL,
        {"field": "password"},
    ),
    Call(
        "POST /register_api/register",
        404,
        {"username": "nobody", "password": PASSWORD, "token": "unknown-unknown"},
        REFUSAL,
    ),
    Call(
        "POST /register_api/register",
        403,
        {"username": "not-theo", "password": PASSWORD, "token": "{theo}"},
        REFUSAL,
    ),
    Call(
        "POST /register_api/register",
        200,
        {"username": "Portal-Theo", "password": PASSWORD, "token": "{theo}"},
        {"jid": str},
        {"jid": "portal-theo@localhost"},
    ),
    Call("GET /register_api/invite/{theo}", 404, form=REFUSAL),
    Call(
        "POST /register_api/register",
        404,
        {"username": "portal-theo", "password": PASSWORD, "token": "{theo}"},
        REFUSAL,
    ),
    Call(
        "POST /register_api/register",
        409,
        {"username": "portal-theo", "password": PASSWORD, "token": "{family}"},
        REFUSAL,
        {"reason": "name_taken"},
    ),
    Call(
        "POST /register_api/register",
        200,
        {"username": "portal-lena", "password": PASSWORD, "token": "{family}"},
        {"jid": str},
        {"jid": "portal-lena@localhost"},
    ),
    Call("DELETE /register_api/invite/{family}", 403, form=REFUSAL),
    Call("DELETE /register_api/invite/{plumber}", 200, form=NOTHING),
    Call("DELETE /register_api/invite/{plumber}", 404, form=REFUSAL),
    Call("DELETE /register_api/invite/unknown-unknown", 404, form=REFUSAL),
]


class Portal:
    """Sends calls as Snikket's portal and Prose do, with what it was given as an access token."""

    def __init__(self, url, token=None):
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60)
        self.kept = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def say(self, calls):
        for call in calls:
            self.ask(call)

    def ask(self, call):
        method, path = self._fill(call.request).split(" ")
        if isinstance(call.send, bytes):
            headers = {"Content-Type": "application/json", **call.headers}
            answer = self.http.request(method, path, content=self._fill(call.send.decode()), headers=headers)
        else:
            answer = self.http.request(method, path, json=self._fill(call.send), headers=call.headers)
        assert answer.status_code == call.status, f"{call}: {answer.status_code} {answer.text}"
        assert answer.headers["content-type"] == "application/json"
        if call.form == NOTHING:
            assert answer.json() is None
            return None
        body = answer.json()
        check_form(body, call)
        if call.keep:
            self.kept[call.keep] = body["id"]
        return body

    def _fill(self, value):
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda name: self.kept[name[1]], value)
        if isinstance(value, dict):
            return {key: self._fill(member) for key, member in value.items()}
        return value


def check_form(body, call):
    if call.form is list:
        assert type(body) is list
        for invite in body:
            assert INVITE.keys() - {"source"} <= invite.keys(), invite
    else:
        types = {member: type(value) for member, value in body.items()}
        types.pop("field", None)
        if call.form is REFUSAL:
            assert (body["type"], body["code"]) == ("error", call.status)
            # Prose refuses to read it if one is missing, Snikket's portal if one of the first two is.
            assert {key: type(value) for key, value in body["error"].items()} == dict.fromkeys(
                ("type", "condition", "text"), str
            )
        assert types == call.form, call
    assert call.says.items() <= (body.items() if call.says else {}.items()), f"{call}: {body}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    modules = ["http", "tokenauth", "invited_tokens", "e2e_tokens"]
    site = Site(tmp_path_factory.mktemp("site"), modules=modules)
    point_at(site, f"http://127.0.0.1:{site.prosody.http_port}/invited")
    with site:
        site.prosody.add_account("admin", PASSWORD)
        site.prosody.add_account("ordinary", PASSWORD)
        yield site


def point_at(site, url):
    text = site.invited.config.read_text()
    site.invited.config.write_text(
        text.replace('[hosts."localhost"]\n', f'[hosts."localhost"]\nprosody_url = "{url}"\n')
    )


def prosodys_token(site, name, scope=ADMIN_SCOPE, ttl=3600):
    asked = {"jid": f"{name}@localhost", "ttl": ttl} | ({"scope": scope} if scope else {})
    answer = httpx.post(f"http://127.0.0.1:{site.prosody.http_port}/e2e_tokens", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.fixture
def portal(site):
    with Portal(site.invited.url, site.invited.key("--scope", "admin")) as portal:
        yield portal


def status_of(site, token, path="/admin_api/invites"):
    return httpx.get(f"{site.invited.url}{path}", headers={"Authorization": f"Bearer {token}"}).status_code


def test_the_exchange_of_a_portal(site, portal):
    portal.say(ADMIN + NEWCOMER)
    run(exchange_a_message(site.prosody, ("portal-theo", PASSWORD), ("portal-lena", PASSWORD)))
    assert site.invited.uses(portal.kept["family"]) == 1
    assert {"not-theo", "portal-weak", "nobody"}.isdisjoint(site.prosody.accounts())


def test_the_exchange_with_a_token_of_prosodys(site):
    with Portal(site.invited.url, prosodys_token(site, "admin")) as portal:
        made = portal.ask(
            Call("POST /admin_api/invites/account", 200, {"note": "x"}, {**INVITE, "note": str}, keep="it")
        )
        assert made["source"] == "admin@localhost/admin_api"
        listed = portal.ask(Call("GET /admin_api/invites", 200, form=list))
        assert made in listed
        assert [invite["created_at"] for invite in listed] == sorted(invite["created_at"] for invite in listed)
        portal.say([Call("DELETE /admin_api/invites/{it}", 200, form=NOTHING)])
        assert made not in portal.ask(Call("GET /admin_api/invites", 200, form=list))


def test_the_token_of_somebody_who_is_no_admin_is_403(site):
    assert status_of(site, prosodys_token(site, "ordinary")) == 403
    assert status_of(site, prosodys_token(site, "admin", "prosody:scope:default")) == 403
    assert status_of(site, prosodys_token(site, "admin", "prosody:scope:default prosody:scope:admin")) == 200
    assert status_of(site, prosodys_token(site, "admin", None)) == 200


def test_a_token_that_prosody_does_not_know_is_401(site):
    good = prosodys_token(site, "admin")
    for token in (good[:-8] + "AAAAAAA=", "MTthZG1pbkBlbHNld2hlcmU7eA==", "nonsense", "A" * 6000):
        assert status_of(site, token) == 401, token
    assert status_of(site, prosodys_token(site, "admin", ttl=-10)) == 401, "it has expired"
    assert status_of(site, good) == 200
    revoked = httpx.post(f"http://127.0.0.1:{site.prosody.http_port}/e2e_tokens", json={"revoke": good})
    assert revoked.status_code == 200
    assert status_of(site, good) == 401


def test_prosody_tells_nothing_to_whoever_has_no_secret(site):
    address = f"http://127.0.0.1:{site.prosody.http_port}/invited"
    question = {"host": "localhost", "token": prosodys_token(site, "admin")}
    secret = site.invited.secret_file.read_text().strip()
    for authorization in (None, "Bearer", f"Bearer {secret}x", secret, "Bearer nonsense"):
        headers = {"Authorization": authorization} if authorization else {}
        assert httpx.post(address, json=question, headers=headers).status_code == 401
    good = {"Authorization": f"Bearer {secret}"}
    assert httpx.post(address, json=question, headers=good).json() == {"username": "admin", "admin": True}
    assert httpx.post(address, json={**question, "token": "x"}, headers=good).json() == {}
    for wrong, status in (
        ({**question, "host": "elsewhere.example"}, 404),
        ({**question, "token": None}, 400),
        ({**question, "token": 7}, 400),
        ({**question, "token": "A" * 5000}, 400),
        ([], 404),
    ):
        assert httpx.post(address, json=wrong, headers=good).status_code == status, wrong
    assert httpx.get(address).status_code in (404, 405)


def test_a_reset_sets_the_new_password_ends_old_sessions_and_works_once(site, portal):
    site.prosody.add_account("forgetful", FIRST)
    portal.ask(
        Call("POST /admin_api/invites/reset", 200, {"username": "forgetful"}, INVITE, {"reset": True}, keep="it")
    )
    token = portal.kept["it"]
    says = {"reset": "forgetful", "jid": "forgetful@localhost"}
    portal.ask(Call("GET /register_api/invite/{it}", 200, form={**PUBLIC, "reset": str}, says=says))

    def registering(name):
        return {"username": name, "password": PASSWORD, "token": token}

    portal.say(
        [
            Call("POST /register_api/register", 403, registering("admin"), REFUSAL),
            Call("POST /register_api/register", 403, registering("brand-new"), REFUSAL),
        ]
    )
    assert "brand-new" not in site.prosody.accounts()

    async def old_session():
        client = chat.Chat(site.prosody, "forgetful", FIRST)
        ended = asyncio.get_running_loop().create_future()
        client.add_event_handler("disconnected", lambda _: ended.done() or ended.set_result(None))
        await client.sign_in()
        signed.set_result(None)
        await ended

    signed = run(new_future())
    session = begin(old_session())
    run(settled(signed))
    done = Call(
        "POST /register_api/register", 200, registering("forgetful"), {"jid": str}, {"jid": "forgetful@localhost"}
    )
    portal.say([done])
    session.result(20)

    with pytest.raises(SignInFailed):
        run(sign_in(site, "forgetful", FIRST))
    run(sign_in(site, "forgetful", PASSWORD))
    portal.say(
        [
            Call("GET /register_api/invite/{it}", 404, form=REFUSAL),
            Call("POST /register_api/register", 404, registering("forgetful"), REFUSAL),
            Call("POST /register_api/register", 404, registering("brand-new"), REFUSAL),
        ]
    )
    assert site.invited.uses(token) == 1


def test_no_log_knows_a_token_or_a_password(site):
    token = prosodys_token(site, "admin")
    assert status_of(site, token) == 200
    key = site.invited.key("--scope", "admin")
    with Portal(site.invited.url, key) as portal:
        made = portal.ask(Call("POST /admin_api/invites/account", 200, form=INVITE, keep="it"))
        sent = {"username": "silent", "password": PASSWORD, "token": made["id"]}
        portal.say(
            [
                Call("GET /register_api/invite/{it}", 200, form=PUBLIC),
                Call("GET /admin_api/invites/{it}", 200, form=INVITE),
                Call("POST /register_api/register", 200, sent, {"jid": str}),
                Call("DELETE /admin_api/invites/{it}", 200, form=NOTHING),
            ]
        )
        httpx.get(f"{site.invited.url}/nowhere/{made['id']}")
    written = site.invited.output.read_text()
    for secret in (token, made["id"], key.partition("/")[2], PASSWORD):
        assert secret not in written


def test_without_prosody_keys_work_and_the_portal_is_told_to_wait(tmp_path):
    site = Site(tmp_path / "site")
    point_at(site, f"http://127.0.0.1:{site.prosody.http_port}/invited")
    with site:
        key = site.invited.key("--scope", "admin")
        site.prosody.kill()
        assert status_of(site, "MTthZG1pbkBsb2NhbGhvc3Q7eA==") == 503
        with Portal(site.invited.url, key) as portal:
            made = portal.ask(Call("POST /admin_api/invites/account", 200, form=INVITE, keep="it"))
            sent = {"username": "early", "password": PASSWORD, "token": made["id"]}
            refused = Call("POST /register_api/register", 503, sent, REFUSAL, {"reason": "xmpp_unavailable"})
            portal.ask(refused)
            site.prosody.start()
            wait_until(lambda: site.invited.uses(made["id"]) == 0, "nothing was used up")
            portal.say([Call("POST /register_api/register", 200, sent, {"jid": str})])


async def new_future():
    return asyncio.get_running_loop().create_future()


async def settled(future):
    await future


async def sign_in(site, name, password):
    async with signed_in(site.prosody, name, password):
        pass


def test_a_body_that_is_too_large_or_never_comes_is_refused_in_the_form_that_portals_read(site):
    address = ("127.0.0.1", site.invited.port)
    for path in ("/admin_api/invites/account", "/register_api/register"):
        for length, status in ((11 * 1024 * 1024, 413), (5, 408)):
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
            with socket.create_connection(address, timeout=30) as connection:
                connection.sendall(head.encode())
                if status == 413:
                    with suppress(OSError):  # it may be refused before all of it was sent
                        connection.sendall(b" " * length)
                refused = HTTPResponse(connection)
                refused.begin()
                assert refused.status == status
                body = json.load(refused)
            assert (body["type"], body["code"], body["error"].keys()) == (
                "error",
                status,
                {"type", "condition", "text"},
            )
