"""Contact invites (XEP-0379): the inviter has agreed beforehand."""

import asyncio

import pytest

from harness import chat
from harness.loop import run
from harness.site import PASSWORD
from harness.waiting import wait_until


@pytest.fixture(scope="module", autouse=True)
def people(site):
    for name in ("nora", "theo", "thea", "stranger"):
        site.prosody.add_account(name, PASSWORD)


def test_a_subscription_with_a_contact_token_is_approved_at_once(site):
    invite = site.invited.contact_invite("nora")
    assert invite["uri"] == f"xmpp:nora@localhost?roster;preauth={invite['token']}"

    assert _presence_after_subscribing(site, "theo", invite["token"]) == {
        ("subscribed", "nora@localhost"),
        ("subscribe", "nora@localhost"),
    }
    assert site.prosody.contacts("nora")["theo@localhost"] == "from"
    wait_until(lambda: site.invited.uses(invite["token"]) == 1, "the use is counted")


def test_a_used_contact_token_approves_nobody_else(site):
    token = site.invited.contact_invite("nora")["token"]
    _presence_after_subscribing(site, "thea", token)
    wait_until(lambda: site.invited.uses(token) == 1, "the use is counted")
    _subscribe_and_sign_out(site, "stranger", token)
    assert site.prosody.contacts("nora").get("stranger@localhost", "none") == "none"


def test_a_contact_token_makes_no_account(site):
    token = site.invited.contact_invite("nora")["token"]
    assert not site.register(token, "contact-only").accepted
    assert "contact-only" not in site.prosody.accounts()


def test_a_contact_token_is_good_for_its_inviter_only(site):
    token = site.invited.contact_invite("nora")["token"]
    _subscribe_and_sign_out(site, "stranger", token, to="theo")
    assert site.prosody.contacts("theo").get("stranger@localhost", "none") == "none"
    assert site.invited.uses(token) == 0


def test_a_contact_invite_with_an_account_fills_both_rosters(site):
    invite = site.invited.contact_invite("nora", "--allow-registration")
    assert invite["uri"] == f"xmpp:nora@localhost?roster;preauth={invite['token']};ibr=y"

    assert site.register(invite["token"], "newcomer").accepted
    wait_until(lambda: "newcomer@localhost" in site.prosody.contacts("nora"), "nora has the contact")
    assert site.prosody.contacts("nora")["newcomer@localhost"] == "both"
    assert site.prosody.contacts("newcomer")["nora@localhost"] == "both"
    assert not site.register(invite["token"], "second-newcomer").accepted


def _presence_after_subscribing(site, name, token):
    """What comes back while nora is there and does nothing.

    She must be there: Prosody 0.12.3 tells nobody of the approval by a user without any session.
    """

    async def subscribe():
        async with (
            chat.signed_in(site.prosody, "nora", PASSWORD),
            chat.signed_in(site.prosody, name, PASSWORD) as client,
        ):
            client.subscribe("nora@localhost", token)
            return {await asyncio.wait_for(client.presences.get(), 10) for _ in range(2)}

    return run(subscribe())


def _subscribe_and_sign_out(site, name, token, to="nora"):
    """Subscribes; a question that Prosody answers after it shows that the request was worked on."""

    async def subscribe():
        async with chat.signed_in(site.prosody, name, PASSWORD) as client:
            client.subscribe(f"{to}@localhost", token)
            await client.ping()

    run(subscribe())
