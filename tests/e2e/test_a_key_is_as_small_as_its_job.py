"""A key that may only make invites never leads to an account that rules anything, whatever is asked with it."""

import json
import re
from urllib.parse import urlencode

import httpx
import pytest

from harness.site import PASSWORD, Site

VICTIM = "victim"
MORE = [
    {"roles": ["prosody:operator"]},
    {"roles": ["prosody:admin"], "username": "chosen"},
    {"groups": ["writers"]},
    {"extra": {"roster_subscription": VICTIM}},
    {"extra": {"roles": ["prosody:operator"], "allow_reset": VICTIM, "source": VICTIM}},
    {"kind": "contact", "inviter": VICTIM, "allow_registration": True},
    {"kind": "reset", "username": VICTIM},
    {"token": "summer-camp", "max_uses": None},
    {"expires_in": "36500d"},
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    modules = ["http", "invites_api", "e2e_groups"]
    with Site(tmp_path_factory.mktemp("site"), modules=modules) as site:
        site.prosody.add_account(VICTIM, PASSWORD)
        yield site


@pytest.fixture(scope="module")
def key(site):
    return site.invited.key()


def as_table(body):
    cells = (value if isinstance(value, str) else json.dumps(value) for value in body.values())
    quoted = ('"' + cell.replace('"', '""').strip("[]") + '"' for cell in cells)
    return f"{','.join(body)}\n{','.join(quoted)}\n"


def api(site, key, body):
    return httpx.post(f"{site.invited.url}/api/v1/invites", json=body, headers=bearer(key))


def bulk(site, key, body):
    return httpx.post(f"{site.invited.url}/api/v1/invites/bulk", json={"invites": [body]}, headers=bearer(key))


def table(site, key, body):
    headers = {**bearer(key), "Content-Type": "text/csv"}
    return httpx.post(f"{site.invited.url}/api/v1/invites/bulk", content=as_table(body), headers=headers)


def portals(site, key, body):
    sent = {"additional_data": body.get("extra"), **body}
    return httpx.post(f"{site.invited.url}/admin_api/invites/account", json=sent, headers=bearer(key))


def invites_api(site, key, body):
    return httpx.post(f"{site.invited.url}/invites_api?{urlencode(body)}", json=body, headers=bearer(key))


def prosodys_port(site, key, body):
    address = f"http://127.0.0.1:{site.prosody.http_port}/invites_api"
    return httpx.post(f"{address}?{urlencode(body)}", json=body, headers=bearer(key))


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("body", MORE, ids=lambda body: "-".join(body))
@pytest.mark.parametrize("door", [api, bulk, table, portals])
def test_a_key_of_scope_create_is_refused_what_is_more_than_a_plain_invite(site, key, door, body):
    before = site.invited.invites()
    answer = door(site, key, body)
    assert answer.status_code == 403, answer.text
    assert "scope_too_small" in answer.text
    assert site.invited.invites() == before


@pytest.mark.parametrize("door", [invites_api, prosodys_port])
def test_whatever_is_asked_of_invites_api_the_account_is_an_ordinary_one(site, key, door):
    for number, body in enumerate(MORE):
        answer = door(site, key, body)
        assert answer.status_code == 201, answer.text
        name = f"plain-{door.__name__.replace('_', '-')}-{number}"
        assert site.register(re.search(r"\?([\w-]+)$", answer.headers["location"])[1], name).accepted
        assert is_ordinary(site, name)


def test_the_most_that_such_a_key_may_ask_for_is_an_ordinary_account(site, key):
    most = {
        "kind": "account",
        "username": "most",
        "note": "for the plumber",
        "expires_in": "7d",
        "max_uses": 1,
        "allow_registration": True,
        "roles": [],
        "groups": [],
        "extra": {},
        "token": None,
    }
    answer = api(site, key, most)
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    assert site.register(token, "most").accepted
    assert is_ordinary(site, "most")
    assert not site.register(token, "second").accepted


def test_a_key_of_scope_admin_may_give_a_role_but_not_a_contact(site):
    admin = site.invited.key("--scope", "admin")
    made = api(site, admin, {"roles": ["prosody:operator"]})
    assert made.status_code == 201, made.text
    assert site.register(made.json()["token"], "operator").accepted
    assert "prosody:operator" in kept_of(site, "operator")
    for body in MORE[3:5]:
        assert api(site, admin, body).status_code == 422
        assert portals(site, admin, {"extra": body["extra"]}).status_code == 400


def is_ordinary(site, name):
    """No role, no group, nobody on its roster, and it on nobody's."""
    assert kept_of(site, name) == ""
    assert site.prosody.contacts(name) == {}
    assert f"{name}@localhost" not in site.prosody.contacts(VICTIM)
    return True


def kept_of(site, name):
    """What Prosody's stores of roles and groups keep of the account."""
    data = site.prosody.directory / "data" / "localhost"
    files = [data / store / f"{name.replace('-', '%2d')}.dat" for store in ("roles", "account_roles", "e2e_groups")]
    return "".join(file.read_text() for file in files if file.exists())
