"""What an invite says about roles and groups is true of the account, whichever way it was made."""

import re
import subprocess

import pytest
from slixmpp.exceptions import IqError

from harness import chat
from harness.loop import run
from harness.prosody import IS_13
from harness.site import PASSWORD, Site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), modules=["e2e_groups"]) as site:
        yield site


def stored(site, store, name):
    """What Prosody keeps of an account in one of its stores, as `key=value` words."""
    file = site.prosody.directory / "data" / "localhost" / store / f"{name.replace('-', '%2d')}.dat"
    if not file.exists():
        return set()
    script = "for k, v in pairs(dofile(arg[1])) do print(k..'='..tostring(v)) end"
    shown = subprocess.run(["lua5.4", "-", str(file)], input=script, capture_output=True, text=True, check=True)
    return set(shown.stdout.split())


def roles(site, name):
    """0.12 keeps a set of roles of an account; 13 one that it has at first, and a set of others."""
    if not IS_13:
        return {word.removesuffix("=true") for word in stored(site, "roles", name)}
    words = dict(word.split("=") for word in stored(site, "account_roles", name))
    first = words.pop("_default", None)
    return {first, *words} - {None}


def is_admin(site, name):
    async def run_an_admins_command():
        async with chat.signed_in(site.prosody, name, PASSWORD) as client:
            await client.command("urn:xmpp:invite#create-account")

    try:
        run(run_an_admins_command())
    except IqError as refusal:
        assert refusal.condition == "forbidden"
        return False
    return True


@pytest.mark.parametrize("road", [Site.register, Site.register_on_page])
def test_an_invite_with_a_role_gives_an_account_with_that_role(site, road):
    name = f"admin-{road.__name__.replace('_', '-')}"
    token = site.invited.invite("--role", "prosody:admin")["token"]
    assert road(site, token, name).accepted
    assert roles(site, name) == {"prosody:admin"}
    assert is_admin(site, name)


def test_the_first_of_several_roles_is_the_main_one(site):
    token = site.invited.invite("--role", "prosody:member", "--role", "prosody:admin")["token"]
    assert site.register(token, "of-two-roles").accepted
    assert roles(site, "of-two-roles") == {"prosody:member", "prosody:admin"}
    if IS_13:
        assert "_default=prosody:member" in stored(site, "account_roles", "of-two-roles")


def test_an_invite_without_a_role_gives_an_account_without_one(site):
    assert site.register(site.invited.invite()["token"], "plain").accepted
    assert roles(site, "plain") <= {"prosody:registered"}  # what 13 gives everybody
    assert not is_admin(site, "plain")


@pytest.mark.parametrize("road", [Site.register, Site.register_on_page])
def test_an_invite_with_groups_puts_the_account_into_them(site, road):
    name = f"member-{road.__name__.replace('_', '-')}"
    token = site.invited.invite("--group", "readers", "--group", "writers")["token"]
    assert road(site, token, name).accepted
    assert stored(site, "e2e_groups", name) == {"1=readers", "2=writers"}


@pytest.mark.parametrize(
    ("options", "role"),
    [(["--admin"], "prosody:admin"), (["--role", "prosody:member"], "prosody:member")],
)
def test_a_link_of_prosodyctl_carries_role_and_groups(site, options, role):
    name = f"of-prosodyctl-{len(options)}"
    done = site.prosody.control("mod_invites", "generate", "localhost", *options, "--group", "readers")
    assert done.returncode == 0, done.stdout
    token = re.search(r"\?(\w{24})$", done.stdout.strip())[1]
    assert site.register(token, name).accepted
    assert roles(site, name) == {role}
    assert stored(site, "e2e_groups", name) == {"1=readers"}
