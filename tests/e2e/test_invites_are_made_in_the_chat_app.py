"""Ad-hoc commands with the forms of XEP-0401 0.6.0. Prosody's mod_invites_adhoc is loaded as it is."""

import asyncio
import re

import pytest
from slixmpp.exceptions import IqError

from harness import chat
from harness.loop import run
from harness.prosody import WRONG_NAME
from harness.site import PASSWORD, Site

ACCOUNT = "urn:xmpp:invite#create-account"
CONTACT = "urn:xmpp:invite#invite"
RESET = "xmpp:prosody.im/mod_invites_adhoc#password-reset"
INVITATION = "urn:xmpp:invite#invitation"


@pytest.fixture(scope="module", autouse=True)
def people(site):
    for name in ("admin", "nora", "theo"):
        site.prosody.add_account(name, PASSWORD)


def test_the_first_answer_is_a_form_and_makes_no_invite(site):
    before = len(site.invited.invites())
    form = run(first_step(site, ACCOUNT))
    assert (form.status, form.form) == ("executing", "form")
    assert set(form.fields) == {"username", "roster-subscription"}
    assert len(site.invited.invites()) == before


def test_the_form_gives_an_invite_for_a_name(site):
    made = run(both_steps(site, ACCOUNT, username="Lena"))
    assert (made.status, made.form) == ("completed", "result")
    assert set(made.fields) == {"FORM_TYPE", "uri", "landing-url", "expire"}
    assert made.fields["FORM_TYPE"] == INVITATION
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made.fields["expire"])
    token = token_of(made, r"xmpp:lena@localhost\?register;preauth=(\w+)")
    assert made.fields["landing-url"] == f"{site.invited.url}/invite?{token}"

    assert site.register(token, "somebody-else").condition == WRONG_NAME[1]
    assert site.register(token, "lena").accepted


def test_the_form_without_a_name_gives_an_invite_for_any_name(site):
    made = run(both_steps(site, ACCOUNT, username=""))
    assert site.register(token_of(made, r"xmpp:localhost\?register;preauth=(\w+)"), "any-name").accepted


def test_with_a_subscription_both_rosters_are_filled_and_the_inviter_is_told(site):
    async def invite_and_wait_for_the_push():
        async with chat.signed_in(site.prosody, "admin", PASSWORD) as client:
            asked = await client.command(ACCOUNT)
            submit = {"username": "befriended", "roster-subscription": "true"}
            made = await client.command(ACCOUNT, "complete", asked.session, submit)
            token = token_of(made, r"xmpp:befriended@localhost\?register;preauth=(\w+)")
            assert (await site.attempt(token, "befriended")).accepted
            await asyncio.wait_for(client.pushed("befriended@localhost", "both"), 10)

    run(invite_and_wait_for_the_push())
    assert site.prosody.contacts("admin")["befriended@localhost"] == "both"
    assert site.prosody.contacts("befriended")["admin@localhost"] == "both"


def test_without_a_subscription_nobody_is_on_anybodys_roster(site):
    made = run(both_steps(site, ACCOUNT, username="alone", **{"roster-subscription": "0"}))
    assert site.register(token_of(made, r".*preauth=(\w+)"), "alone").accepted
    assert "alone@localhost" not in site.prosody.contacts("admin")
    assert site.prosody.contacts("alone") == {}


def test_completing_at_once_makes_an_invite_in_one_step(site):
    async def at_once(**step):
        async with chat.signed_in(site.prosody, "admin", PASSWORD) as client:
            return await client.command(ACCOUNT, **step)

    assert run(at_once(action="complete")).fields["uri"].startswith("xmpp:localhost?register;preauth=")
    submitted = run(at_once(submit={"username": "at-once"}))
    assert submitted.fields["uri"].startswith("xmpp:at-once@localhost?register;preauth=")


def test_the_form_can_be_cancelled(site):
    before = len(site.invited.invites())

    async def cancel():
        async with chat.signed_in(site.prosody, "admin", PASSWORD) as client:
            asked = await client.command(ACCOUNT)
            return await client.command(ACCOUNT, "cancel", asked.session)

    assert run(cancel()).status == "canceled"
    assert len(site.invited.invites()) == before


@pytest.mark.parametrize(
    ("fields", "condition"),
    [
        ({"username": "theo"}, "conflict"),
        ({"username": "a b"}, "not-acceptable"),
        ({"username": "\u00a0"}, "not-acceptable"),
        ({"username": "x", "roster-subscription": "perhaps"}, "not-acceptable"),
    ],
)
def test_a_name_that_cannot_be_had_is_refused_at_once(site, fields, condition):
    before = len(site.invited.invites())
    with pytest.raises(IqError) as refusal:
        run(both_steps(site, ACCOUNT, **fields))
    assert refusal.value.condition == condition
    assert len(site.invited.invites()) == before


def test_a_name_that_another_invite_holds_is_refused(site):
    site.invited.invite("--username", "promised")
    with pytest.raises(IqError) as refusal:
        run(both_steps(site, ACCOUNT, username="promised"))
    assert refusal.value.condition == "not-allowed"


def test_a_contact_invite_has_the_form_of_the_specification(site):
    made = run(first_step(site, CONTACT, "nora"))
    assert (made.status, made.form) == ("completed", "result")
    assert set(made.fields) == {"FORM_TYPE", "uri", "landing-url", "expire"}
    assert made.fields["FORM_TYPE"] == INVITATION
    assert token_of(made, r"xmpp:nora@localhost\?roster;preauth=(\w+);ibr=y")


def test_an_admin_makes_a_password_reset(site):
    asked = run(first_step(site, RESET))
    assert (asked.status, asked.form, set(asked.fields)) == ("executing", "form", {"accountjid"})
    made = run(both_steps(site, RESET, accountjid="theo@localhost"))
    token = token_of(made, r"xmpp:theo@localhost\?register;preauth=(\w+)")
    assert site.register(token, "nora", "A new password").condition == WRONG_NAME[1]
    assert site.register(token, "theo", "A new password").accepted
    run(sign_in(site, "theo", "A new password"))


@pytest.mark.parametrize(
    ("address", "condition"),
    [
        ("theo@elsewhere.example", "not-acceptable"),
        ("localhost", "not-acceptable"),
        ("", "not-acceptable"),
        ("no-such-user@localhost", "item-not-found"),
    ],
)
def test_a_reset_is_for_an_account_of_this_host_only(site, address, condition):
    before = len(site.invited.invites())
    with pytest.raises(IqError) as refusal:
        run(both_steps(site, RESET, accountjid=address))
    assert refusal.value.condition == condition
    assert len(site.invited.invites()) == before


@pytest.mark.parametrize("node", [ACCOUNT, RESET])
@pytest.mark.parametrize("step", [{}, {"action": "complete"}, {"submit": {"accountjid": "theo@localhost"}}])
def test_only_admins_have_these_commands(site, node, step):
    async def execute():
        async with chat.signed_in(site.prosody, "nora", PASSWORD) as client:
            await client.command(node, **step)

    with pytest.raises(IqError) as refusal:
        run(execute())
    assert refusal.value.condition == "forbidden"


def test_without_invited_every_command_is_answered(site):
    site.invited.stop()
    try:
        for node, name in ((CONTACT, "nora"), (ACCOUNT, "admin")):
            with pytest.raises(IqError) as refusal:
                run(first_step(site, node, name, action="complete"))
            assert (refusal.value.condition, refusal.value.etype) == ("service-unavailable", "wait")
    finally:
        site.invited.start()


def test_with_the_form_switched_off_the_command_has_prosodys_one_step(tmp_path):
    with Site(tmp_path / "site", options={"invites_create_account_form": False}) as site:
        site.prosody.add_account("admin", PASSWORD)
        made = run(first_step(site, ACCOUNT))
        assert (made.status, made.form) == ("completed", "result")
        assert made.fields["uri"].startswith("xmpp:localhost?register;preauth=")


def test_the_commands_survive_a_reload(site):
    for module in ("invites", "invites_adhoc"):
        done = site.prosody.control("shell", f"module:reload('{module}', 'localhost')")
        assert done.returncode == 0, done.stdout
    for node in (ACCOUNT, RESET):
        assert run(first_step(site, node)).form == "form"


async def first_step(site, node, name="admin", action="execute"):
    async with chat.signed_in(site.prosody, name, PASSWORD) as client:
        return await client.command(node, action)


async def both_steps(site, node, **fields):
    async with chat.signed_in(site.prosody, "admin", PASSWORD) as client:
        asked = await client.command(node)
        return await client.command(node, "complete", asked.session, fields)


async def sign_in(site, name, password):
    async with chat.signed_in(site.prosody, name, password):
        pass


def token_of(step, pattern):
    match = re.fullmatch(pattern, step.fields["uri"])
    assert match, step.fields
    return match[1]
