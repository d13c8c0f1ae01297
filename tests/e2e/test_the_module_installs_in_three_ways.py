"""The Prosody module out of invited: with prosodyctl, with LuaRocks of every Lua, and without either."""

import subprocess
from email.utils import parsedate_to_datetime

import httpx
import pytest

from harness.prosody import OUR_MODULE, WRONG_NAME
from harness.site import Site

ROCK = next(OUR_MODULE.glob("*.rockspec")).stem
MODULE_FILES = {file.name for file in OUR_MODULE.glob("*.lua")}
MANIFESTS = ["manifest", *(f"manifest-5.{minor}" for minor in (1, 2, 3, 4))]


def names_below(folder):
    return {file.name for file in folder.rglob("*.lua")}


@pytest.fixture
def bare(tmp_path):
    """A site whose Prosody has not been started and knows nothing of our module yet."""
    site = Site(
        tmp_path / "site", options={"installer_plugin_path": tmp_path / "plugins"}, modules=["invites_api", "http"]
    )
    site.prosody.plugin_paths = [path for path in site.prosody.plugin_paths if path != OUR_MODULE]
    try:
        site.bridge.start()
        site.invited.start()
        yield site
    finally:
        site.__exit__()


def assert_the_module_works(site):
    site.prosody.start()
    token = site.invited.invite("--username", "newcomer")["token"]
    assert site.register(token, "else").condition == WRONG_NAME[1], "stock Prosody would take any name"
    assert site.register(token, "newcomer").accepted
    key = site.prosody.control("mod_invites_api", "create", "localhost").stdout.strip()
    made = httpx.get(f"http://127.0.0.1:{site.prosody.http_port}/invites_api", params={"key": key})
    assert made.status_code == 201, made.status_code
    assert made.headers["location"].startswith(f"{site.invited.url}/invite?")
    shown = site.prosody.control("shell", "invite:create_account('shell@localhost')")
    assert shown.returncode == 0, "the files beside mod_invites.lua are found"


@pytest.mark.parametrize("rock", ["mod_invites_invited", "mod_invites_api"])
def test_prosodyctl_installs_it_from_a_running_invited(bare, tmp_path, rock):
    bare.prosody._write_config()
    done = bare.prosody.control("install", f"--server={bare.invited.url}/rocks/", rock)
    assert done.returncode == 0, done.stdout + done.stderr
    assert names_below(tmp_path / "plugins") >= MODULE_FILES, done.stdout
    assert rock in bare.prosody.control("list").stdout
    assert_the_module_works(bare)


def test_invited_installs_it_where_there_is_no_luarocks(bare, tmp_path):
    folder = tmp_path / "prosody" / "modules"
    told = bare.invited.output_of("plugin", "install", "--prosody", str(folder))
    assert names_below(folder) == MODULE_FILES
    assert f'plugin_paths = {{ "{folder}" }}' in told
    bare.prosody.plugin_paths.insert(0, folder)
    assert "above the first VirtualHost" in told
    assert 'invited_secret_file = "/etc/prosody/bridge.secret"' in told, "the daemon's folder is closed to Prosody"
    assert f"install -m 640 -g prosody {bare.invited.secret_file} /etc/prosody/bridge.secret" in told
    assert f'invited_url = "http://127.0.0.1:{bare.invited.bridge_port}"' in told
    assert_the_module_works(bare)


def test_a_folder_that_cannot_be_made_is_named(bare, tmp_path):
    (tmp_path / "a file").touch()
    done = bare.invited.run("plugin", "install", "--prosody", str(tmp_path / "a file" / "modules"))
    assert done.returncode == 1
    assert str(tmp_path / "a file" / "modules") in done.stderr


@pytest.mark.parametrize("lua", ["5.2", "5.3", "5.4"])
def test_luarocks_installs_it_for(site, tmp_path, lua):
    done = subprocess.run(
        [
            "luarocks",
            f"--lua-version={lua}",
            "install",
            f"--tree={tmp_path / 'tree'}",
            f"--server={site.invited.url}/rocks",
            "mod_invites_invited",
        ],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    below = tmp_path / "tree" / "share" / "lua" / lua
    assert names_below(below) == MODULE_FILES
    assert (below / "mod_invites" / "mod_invites.lua").read_bytes() == (OUR_MODULE / "mod_invites.lua").read_bytes()


def test_the_rocks_are_there_at_every_host_with_their_date(site):
    for name in ["", "index.html", *MANIFESTS, f"{ROCK}.rockspec", f"{ROCK}.all.rock"]:
        address = f"{site.invited.url}/rocks/{name}"
        got = httpx.get(address, headers={"Host": "elsewhere.example"})
        assert got.status_code == 200, name
        assert parsedate_to_datetime(got.headers["last-modified"]).year >= 2024
        looked = httpx.head(address)
        assert looked.content == b""
        for header in ("content-length", "content-type", "last-modified"):
            assert looked.headers[header] == got.headers[header], name


def test_nothing_else_is_served_there(site):
    for name in ("manifest-5.4.zip", "..%2finvited.toml", "mod_invites.lua", "manifest/"):
        assert httpx.get(f"{site.invited.url}/rocks/{name}").status_code == 404, name
    assert httpx.post(f"{site.invited.url}/rocks/manifest").status_code == 405
