"""Contact invites (XEP-0379): the inviter has agreed beforehand."""

import asyncio

import pytest

from harness import chat
from harness.loop import run
from harness.site import PASSWORD
from harness.waiting import wait_until

REMOTE = "other.localhost"
"""A host that knows nothing of invites."""


@pytest.fixture(scope="module", autouse=True)
def people(site):
    for name in ("nora", "theo", "thea", "tina", "stranger"):
        site.prosody.add_account(name, PASSWORD)
    for name in ("remote", "remote-stranger"):
        site.prosody.add_account(name, PASSWORD, REMOTE)


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


def test_the_inviter_is_told_of_the_new_account_at_once(site):
    token = site.invited.contact_invite("nora", "--allow-registration")["token"]

    async def register_while_nora_is_there():
        async with chat.signed_in(site.prosody, "nora", PASSWORD) as nora:
            assert (await site.attempt(token, "told-of")).accepted
            return await asyncio.wait_for(nora.pushed("told-of@localhost", "both"), 10)

    run(register_while_nora_is_there())


def test_a_token_for_both_is_used_up_by_a_subscription_too(site):
    token = site.invited.contact_invite("nora", "--allow-registration")["token"]
    _presence_after_subscribing(site, "tina", token)
    wait_until(lambda: site.invited.uses(token) == 1, "the use is counted")
    assert not site.register(token, "after-the-subscription").accepted
    assert "after-the-subscription" not in site.prosody.accounts()


def test_both_rosters_are_filled_when_the_new_contact_agrees(site):
    token = site.invited.contact_invite("nora")["token"]

    async def subscribe_and_agree():
        async with (
            chat.signed_in(site.prosody, "nora", PASSWORD) as nora,
            chat.signed_in(site.prosody, "theo", PASSWORD) as theo,
        ):
            theo.send_presence(pto="nora@localhost", ptype="subscribed")  # agreed beforehand, as clients do
            theo.subscribe("nora@localhost", token)
            while await asyncio.wait_for(theo.presences.get(), 10) != ("subscribe", "nora@localhost"):
                pass
            theo.send_presence(pto="nora@localhost", ptype="subscribed")
            await asyncio.wait_for(nora.pushed("theo@localhost", "both"), 10)

    run(subscribe_and_agree())
    assert site.prosody.contacts("nora")["theo@localhost"] == "both"
    assert site.prosody.contacts("theo")["nora@localhost"] == "both"


def test_a_contact_token_is_good_for_somebody_at_another_server(site):
    token = site.invited.contact_invite("nora")["token"]
    assert _presence_after_subscribing(site, f"remote@{REMOTE}", token) == {
        ("subscribed", "nora@localhost"),
        ("subscribe", "nora@localhost"),
    }
    assert site.prosody.contacts("nora")[f"remote@{REMOTE}"] == "from"
    wait_until(lambda: site.invited.uses(token) == 1, "the use is counted")


def test_a_bad_contact_token_from_another_server_is_an_ordinary_request(site):
    async def ask_with_an_unknown_token():
        async with (
            chat.signed_in(site.prosody, "nora", PASSWORD) as nora,
            chat.signed_in(site.prosody, f"remote-stranger@{REMOTE}", PASSWORD) as client,
        ):
            client.subscribe("nora@localhost", "AbcdefghijkLmnopqrstuvwx")
            while ("subscribe", f"remote-stranger@{REMOTE}") != await asyncio.wait_for(nora.presences.get(), 10):
                pass  # requests of earlier tests, which nobody has answered

    run(ask_with_an_unknown_token())
    assert site.prosody.contacts("nora").get(f"remote-stranger@{REMOTE}", "none") == "none"


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
