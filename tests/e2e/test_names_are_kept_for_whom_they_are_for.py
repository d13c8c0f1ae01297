"""A fixed name is that name, and nobody else's while the invite is pending."""

from harness.loop import run
from harness.prosody import WRONG_NAME
from harness.site import PASSWORD
from harness.web import Form


def test_an_invite_for_a_name_refuses_another_name(site):
    invite = site.invited.invite("--username", "theo")
    assert invite["uri"].startswith("xmpp:theo@localhost?register;preauth=")

    refused = site.register(invite["token"], "not-theo")
    assert (refused.kind, refused.condition) == WRONG_NAME
    assert site.register_on_page(invite["token"], "not-theo").status == 403
    assert site.invited.uses(invite["token"]) == 0

    assert site.register(invite["token"], "theo").accepted
    assert "not-theo" not in site.prosody.accounts()


def test_the_page_shows_the_name_of_the_invite(site):
    token = site.invited.invite("--username", "lena")["token"]

    async def form_of():
        async with await site.form() as form:
            return Form((await form.present(token)).text)

    assert run(form_of()).fields["user"] == "lena"
    assert site.register_on_page(token, "lena").accepted


def test_an_open_invite_cannot_take_a_name_that_a_pending_invite_holds(site):
    held = site.invited.invite("--username", "reserved")["token"]
    free = site.invited.invite()["token"]

    refused = site.register(free, "reserved")
    assert (refused.kind, refused.condition) == ("cancel", "not-allowed")
    assert site.register(free, "RESERVED").condition == "not-allowed", "names are compared after preparation"
    assert not site.register_on_page(free, "reserved").accepted
    assert site.invited.uses(free) == 0

    assert site.register(held, "reserved").accepted
    assert site.register(free, "somebody-else").accepted


def test_revoking_an_invite_sets_its_name_free(site):
    held = site.invited.invite("--username", "regretted")["token"]
    free = site.invited.invite()["token"]
    assert not site.register(free, "regretted").accepted
    site.invited.output_of("invite", "revoke", "localhost", held)
    assert site.register(free, "regretted").accepted


def test_an_invite_that_is_revoked_after_it_was_shown_makes_no_account(site):
    token = site.invited.invite()["token"]

    async def revoked_meanwhile():
        async with await site.stream() as stream:
            assert (await stream.present(token)).accepted
            site.invited.output_of("invite", "revoke", "localhost", token)
            return await stream.register("too-late", PASSWORD)

    assert run(revoked_meanwhile()).condition == "not-allowed"
    assert "too-late" not in site.prosody.accounts()
