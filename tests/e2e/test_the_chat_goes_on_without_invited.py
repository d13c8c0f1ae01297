"""invited may be missing, misconfigured or down: Prosody runs, lets nobody in without an invite, and chats."""

import asyncio

import pytest

from harness import chat
from harness.loop import run
from harness.site import PASSWORD, Site


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path / "site")
    try:
        site.bridge.start()
        site.xmpp.start()
        site.prosody.start()
        yield site
    finally:
        site.__exit__()


@pytest.fixture(scope="module")
def well(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("well")) as site:
        yield site


def add_people(site):
    for name in ("ada", "bob"):
        site.prosody.add_account(name, PASSWORD)


def assert_chat_works(site):
    run(chat.exchange_a_message(site.prosody, ("ada", PASSWORD), ("bob", PASSWORD)))


def assert_nobody_registers(site):
    async def without_token():
        async with await site.stream() as stream:
            return await stream.register("nobody", PASSWORD)

    refused = site.register("A" * 24, "nobody")
    assert refused.kind == "wait", refused
    assert not run(without_token()).accepted
    assert "nobody" not in site.prosody.accounts()


def test_prosody_starts_before_invited_was_ever_there(site):
    add_people(site)
    assert_nobody_registers(site)
    assert_chat_works(site)

    site.invited.start()
    assert site.register(site.invited.invite()["token"], "cyd").accepted, "without a restart of Prosody"


def test_prosody_stays_while_invited_is_away(site):
    add_people(site)
    site.invited.start()
    assert site.register(site.invited.invite()["token"], "before").accepted
    token = site.invited.invite()["token"]

    site.invited.stop()
    assert_nobody_registers(site)
    assert site.register(token, "meanwhile").kind == "wait"
    assert_chat_works(site)

    site.invited.start()
    assert site.register(token, "afterwards").accepted
    assert site.prosody.accounts() == {"ada", "bob", "before", "afterwards"}


def test_an_outage_between_token_and_registration_is_no_lasting_refusal(site):
    site.invited.start()
    token = site.invited.invite()["token"]

    async def through_the_outage():
        async with await site.stream() as stream:
            assert (await stream.present(token)).accepted
            await asyncio.to_thread(site.invited.stop)
            during = await stream.register("patient", PASSWORD)
            await asyncio.to_thread(site.invited.start)
            return during, await stream.register("patient", PASSWORD)

    during, after = run(through_the_outage())
    assert during.kind == "wait", during
    assert after.accepted, after
    assert site.invited.uses(token) == 1


@pytest.mark.parametrize("operation", ["lookup", "reserve"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{}", "200 OK"),
        ("null", "200 OK"),
        ('{"reservation": 7, "type": "register", "jid": {}, "uri": 0.5}', "200 OK"),
        ("<html>It works!</html>", "200 OK"),
        ("[" * 1_000_000 + "]" * 1_000_000, "200 OK"),
        ("<html>Bad Gateway</html>", "502 Bad Gateway"),
        ('{"code": "invite_unknown", "detail": "No.", "xmpp": {"type": "cancel", "condition": "two words"}}', "404 No"),
    ],
    ids=["empty", "null", "other types", "HTML", "nested", "a proxy's page", "half a refusal"],
)
def test_a_garbled_answer_is_an_outage(well, operation, body, status):
    token = well.invited.invite("--max-uses", "2")["token"]
    well.bridge.stop_at(operation, "answered").garble(body, status)
    refused = well.register(token, "garbled")
    assert (refused.kind, refused.condition) == ("wait", "remote-server-timeout")
    assert well.register(token, f"whole-{token[:8].lower()}").accepted
    assert "garbled" not in well.prosody.accounts()
    assert f" to {operation})" in well.prosody.log.read_text()


def test_questions_share_connections(site):
    site.invited.start()
    for number in range(5):
        assert site.register(site.invited.invite()["token"], f"user{number}").accepted
    assert site.bridge.questions >= 10, "of each token, and of its use"
    assert site.bridge.connections < site.bridge.questions


def test_a_restart_of_invited_between_two_registrations_goes_unnoticed(tmp_path):
    site = Site(tmp_path / "site")
    site.prosody.options["invited_url"] = site.invited.bridge_url  # nobody between them who would keep connections
    with site:
        for name in ("before", "afterwards"):
            assert site.register(site.invited.invite()["token"], name).accepted
            site.invited.stop()
            site.invited.start()


def test_the_module_loads_and_denies_without_a_secret(tmp_path):
    with Site(tmp_path / "site", options={"invited_secret_file": tmp_path / "there is none"}) as site:
        add_people(site)
        assert site.register(site.invited.invite()["token"], "nobody").kind == "wait"
        assert_nobody_registers(site)
        assert_chat_works(site)
        assert "invited_secret_file" in site.prosody.log.read_text(), "the log says what is missing"


def test_the_module_denies_with_a_wrong_secret(tmp_path):
    with Site(tmp_path / "site", options={"invited_secret": "not-the-secret"}) as site:
        assert site.register(site.invited.invite()["token"], "nobody").kind == "wait"
        assert_nobody_registers(site)
