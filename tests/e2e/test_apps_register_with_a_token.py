"""The in-app road, walked by two XMPP libraries that are not ours."""

import re

import pytest
from slixmpp.exceptions import IqError

from harness import chat, node
from harness.loop import run
from harness.site import PASSWORD


@pytest.fixture(scope="module", autouse=True)
def people(site):
    site.prosody.add_account("admin", PASSWORD)
    site.prosody.add_account("nora", PASSWORD)


def test_slixmpp_and_xmpp_js_register_sign_in_and_chat(site):
    run(chat.register(site.prosody, site.invited.invite()["token"], "slixmpp", PASSWORD))
    node.sign_in(site.prosody, "xmppjs", PASSWORD, token=site.invited.invite()["token"])
    assert node.sign_in(site.prosody, "slixmpp", PASSWORD).startswith("slixmpp@localhost/")
    run(chat.exchange_a_message(site.prosody, ("slixmpp", PASSWORD), ("xmppjs", PASSWORD)))


def test_slixmpp_and_xmpp_js_are_refused_with_a_used_token(site):
    token = site.invited.invite()["token"]
    assert site.register(token, "quicker").accepted
    with pytest.raises(IqError) as refusal:
        run(chat.register(site.prosody, token, "slower", PASSWORD))
    assert refusal.value.condition == "item-not-found"
    with pytest.raises(AssertionError, match="item-not-found"):
        node.sign_in(site.prosody, "slower", PASSWORD, token=token)
    assert "slower" not in site.prosody.accounts()


def test_an_admin_creates_an_account_invite_in_the_app(site):
    invite = _command(site, "admin", "urn:xmpp:invite#create-account", "complete")
    assert invite["landing-url"].startswith(f"{site.invited.url}/invite?")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", invite["expire"])
    token = _token(invite, r"xmpp:localhost\?register;preauth=(\w+)")
    run(chat.register(site.prosody, token, "asked-by-admin", PASSWORD))


def test_anybody_invites_a_contact_with_an_account_in_the_app(site):
    invite = _command(site, "nora", "urn:xmpp:invite#invite")
    assert invite["landing-url"].startswith(f"{site.invited.url}/invite?")
    token = _token(invite, r"xmpp:nora@localhost\?roster;preauth=(\w+);ibr=y")
    run(chat.register(site.prosody, token, "friend", PASSWORD))
    assert site.prosody.contacts("nora")["friend@localhost"] == "both"


def test_only_admins_create_account_invites_in_the_app(site):
    with pytest.raises(IqError) as refusal:
        _command(site, "nora", "urn:xmpp:invite#create-account")
    assert refusal.value.condition == "forbidden"


def _command(site, name, node, action="execute"):
    async def execute():
        async with chat.signed_in(site.prosody, name, PASSWORD) as client:
            return (await client.command(node, action)).fields

    return run(execute())


def _token(invite, pattern):
    match = re.fullmatch(pattern, invite["uri"])
    assert match, invite
    return match[1]
