"""Whoever has no account any more invites nobody: at once if invited is there, later for certain."""

from harness.site import PASSWORD
from harness.waiting import wait_until


def state(site, token):
    return site.invited.show(token)["state"]


def delete(site, name):
    """Deletes an account while Prosody runs."""
    done = site.prosody.control("shell", f"user:delete('{name}@localhost')")
    assert done.returncode == 0, done.stdout + done.stderr


def invites_of(site, name):
    """One invite of each kind that hangs on an account."""
    site.prosody.add_account(name, PASSWORD)
    return [
        site.invited.contact_invite(name)["token"],
        site.invited.contact_invite(name, "--allow-registration")["token"],
        site.invited.reset_invite(name)["token"],
    ]


def test_deleting_an_account_revokes_its_invites_and_resets(site):
    gone, there = invites_of(site, "gone"), invites_of(site, "there")
    delete(site, "gone")
    wait_until(lambda: {state(site, token) for token in gone} == {"revoked"}, "they are revoked")
    assert {state(site, token) for token in there} == {"open"}
    assert not site.register(gone[1], "friend-of-nobody").accepted
    site.prosody.add_account("gone", PASSWORD)
    assert not site.register(gone[2], "gone", "A password of the first one").accepted, (
        "another account of the same name"
    )


def test_the_operator_can_restore_them(site):
    token = invites_of(site, "restored")[1]
    delete(site, "restored")
    wait_until(lambda: state(site, token) == "revoked", "it is revoked")
    site.prosody.add_account("restored", PASSWORD)
    site.invited.output_of("invite", "restore", "localhost", token)
    assert site.register(token, "friend-of-restored").accepted


def test_an_account_that_is_deleted_while_invited_is_away_is_noticed_later(site):
    tokens = invites_of(site, "missed")
    site.invited.stop()
    try:
        delete(site, "missed")
    finally:
        site.invited.start()
    wait_until(lambda: {state(site, token) for token in tokens} == {"revoked"}, "they are revoked", seconds=30)


def test_an_account_that_is_deleted_behind_prosodys_back_is_noticed_at_the_next_start(site):
    gone, there = invites_of(site, "behind"), invites_of(site, "ahead")
    done = site.prosody.control("deluser", "behind@localhost")
    assert done.returncode == 0, done.stdout
    site.prosody.stop()
    site.prosody.start()
    wait_until(lambda: {state(site, token) for token in gone} == {"revoked"}, "they are revoked", seconds=30)
    assert {state(site, token) for token in there} == {"open"}


def test_a_store_that_cannot_be_read_makes_nobody_gone(site):
    tokens, gone = invites_of(site, "broken"), invites_of(site, "really-gone")
    site.prosody.control("deluser", "really-gone@localhost")
    account = site.prosody.directory / "data" / "localhost" / "accounts" / "broken.dat"
    whole = account.read_bytes()
    site.prosody.stop()
    account.write_bytes(b"return {")
    site.prosody.start()
    wait_until(lambda: {state(site, token) for token in gone} == {"revoked"}, "all were looked at", seconds=30)
    account.write_bytes(whole)
    assert {state(site, token) for token in tokens} == {"open"}
