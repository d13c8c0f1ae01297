"""Whoever makes an invite hears at once that its account is there already, or is not; without an answer it is made."""

import time

import httpx
import pytest

from harness.prosody import IS_13
from harness.site import PASSWORD, Site
from harness.waiting import wait_until


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), host_options='usernames = "any"') as site:
        site.prosody.add_account("kim", PASSWORD)
        wait_for_module(site)
        yield site


@pytest.fixture(scope="module")
def admin(site):
    key = site.invited.output_of("key", "create", "localhost", "portal", "--scope", "admin")
    return httpx.Client(base_url=site.invited.url, headers={"Authorization": f"Bearer {key}"})


REFUSED = [
    (["create", "localhost", "--username", "kim"], "This name is taken"),
    (["create", "localhost", "--username", "ж" * 43], "too long"),
    (["contact", "nobody@localhost"], "there is no account nobody@localhost"),
    (["reset", "nobody@localhost"], "there is no account nobody@localhost"),
]


@pytest.mark.parametrize(("words", "why"), REFUSED)
def test_the_command_line_refuses_unless_it_is_forced(site, words, why):
    before = len(site.invited.invites())
    refused = site.invited.run("invite", *words)
    assert refused.returncode == 1 and why in refused.stderr and "--force" in refused.stderr
    assert len(site.invited.invites()) == before
    forced = site.invited.run("invite", *words, "--force")
    assert forced.returncode == 0 and why in forced.stderr
    assert len(site.invited.invites()) == before + 1


@pytest.mark.parametrize(
    "words",
    [["create", "localhost", "--username", "lena"], ["contact", "kim@localhost"], ["reset", "kim@localhost"]],
)
def test_what_the_server_agrees_with_is_made_without_a_word(site, words):
    done = site.invited.run("invite", *words)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_words_of_prosodyctl_are_held_to_the_same(site):
    refused = site.invited.run("mod_invites", "generate", "localhost", "--reset", "nobody")
    assert refused.returncode == 1 and "there is no account nobody@localhost" in refused.stdout
    assert site.invited.run("mod_invites", "generate", "localhost", "--reset", "nobody", "--force").returncode == 0
    assert site.invited.run("mod_invites", "generate", "localhost", "--reset", "kim").returncode == 0


@pytest.mark.parametrize(
    ("fields", "status", "code", "field"),
    [
        ({"username": "kim"}, 409, "name_taken", "username"),
        ({"username": "ж" * 43}, 422, "invalid", "username"),
        ({"kind": "contact", "inviter": "nobody"}, 422, "invalid", "inviter"),
        ({"kind": "reset", "username": "nobody"}, 422, "invalid", "username"),
    ],
)
def test_the_api_refuses_one_and_one_of_many(admin, fields, status, code, field):
    one = admin.post("/api/v1/invites", json=fields)
    assert (one.status_code, one.json()["code"], one.json()["field"]) == (status, code, field)
    many = [{"username": f"newcomer{n}"} for n in range(1_200)]
    many.insert(700, fields)
    refused = admin.post("/api/v1/invites/bulk", json={"invites": many}, timeout=30)
    assert (refused.status_code, refused.json()["code"], refused.json()["item"]) == (status, code, 701)


def test_a_portal_hears_that_there_is_nothing_to_reset(admin):
    assert admin.post("/admin_api/invites/reset", json={"username": "nobody"}).status_code == 400
    assert admin.post("/admin_api/invites/account", json={"username": "kim"}).status_code == 409
    assert admin.post("/admin_api/invites/reset", json={"username": "kim"}).status_code == 200


def test_a_request_that_comes_again_gets_its_invite_although_the_account_is_there_now(site, admin):
    headers = {"Idempotency-Key": "once"}
    first = admin.post("/api/v1/invites", json={"username": "repeated"}, headers=headers)
    assert first.status_code == 201 and "warnings" not in first.json()
    assert site.register(first.json()["token"], "repeated").accepted
    again = admin.post("/api/v1/invites", json={"username": "repeated"}, headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])


def test_prosody_itself_makes_none_that_cannot_be_used(site):
    shell = site.prosody.control("mod_invites", "generate", "localhost", "--reset", "nobody")
    assert shell.returncode == 1 and "nobody@localhost" in shell.stdout


def test_a_role_that_prosody_does_not_know_is_refused_with_those_that_there_are(site, admin):
    made = site.invited.run("invite", "create", "localhost", "--role", "prosody:admin")
    assert (made.returncode, made.stderr) == (0, "")
    done = site.invited.run("invite", "create", "localhost", "--role", "prosody:operatr")
    by_api = admin.post("/api/v1/invites", json={"roles": ["prosody:operatr"]})
    if not IS_13:  # 0.12 stores any role
        assert (done.returncode, done.stderr, by_api.status_code) == (0, "", 201)
        assert "warnings" not in by_api.json()
        return
    assert done.returncode == 1 and "prosody:operator" in done.stderr and "--force" in done.stderr
    assert (by_api.status_code, by_api.json()["field"]) == (422, "roles")
    shell = site.prosody.control("shell", "invite", "create_account", "localhost", "--role", "prosody:operatr")
    assert "There is no role prosody:operatr" in shell.stdout + shell.stderr


def test_whose_account_is_disabled_gets_an_invite_with_a_warning(site):
    if not IS_13:
        return  # 0.12 cannot disable an account
    site.prosody.add_account("off", PASSWORD)
    site.prosody.control("shell", "user", "disable", "off@localhost")
    done = site.invited.run("invite", "reset", "off@localhost")
    assert done.returncode == 0 and "The account off@localhost is disabled" in done.stderr


def test_without_an_answer_the_invite_is_made_with_a_warning(site, admin):
    """Last: it stops Prosody, and then invited."""
    site.prosody.stop()
    began = time.monotonic()
    made = admin.post("/api/v1/invites", json={"kind": "reset", "username": "nobody"})
    assert made.status_code == 201
    assert made.json()["warnings"] == ["The chat server did not say whether nobody@localhost exists."]
    done = site.invited.run("invite", "reset", "nobody@localhost")
    assert done.returncode == 0 and "did not say whether nobody@localhost exists" in done.stderr
    assert time.monotonic() - began < 8, "two seconds each"

    site.prosody.start()
    wait_for_module(site)
    began = time.monotonic()
    site.invited.stop()
    assert time.monotonic() - began < 5, "a module that waits for questions does not hold up the end"
    done = site.invited.run("invite", "reset", "nobody@localhost")
    assert done.returncode == 0 and "no daemon answers" in done.stderr
    site.invited.start()
    wait_for_module(site)


def wait_for_module(site):
    def is_there():
        done = site.invited.run("invite", "create", "localhost", "--username", "nobody-else")
        if done.returncode == 0:
            site.invited.output_of("invite", "revoke", "localhost", done.stdout.strip())
        return done.returncode == 0 and not done.stderr

    wait_until(is_there, "Prosody's module waits for questions", 40)
