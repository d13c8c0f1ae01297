"""A Prosody on loopback, with our module or with its own."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

from .process import Server, watch_log
from .waiting import accepts, free_port, wait_until


def _version():
    said = subprocess.run(["prosodyctl", "about"], capture_output=True, text=True, timeout=30).stdout
    found = re.search(r"^Prosody (\d+)\.(\d+)\.(\d+)", said, re.MULTILINE)
    assert found, f"prosodyctl about: {said}"
    return tuple(map(int, found.groups()))


VERSION = _version()
"""Of the Prosody in PATH: (0, 12, 3), (13, 0, 1), …"""
IS_13 = VERSION >= (13,)
WRONG_NAME = ("modify", "not-acceptable") if VERSION >= (13, 0, 7) else ("cancel", "not-allowed")
"""How an invite for another name is refused; in 13.0.7 Prosody's own mod_invites_register is quicker than ours."""

REPOSITORY = Path(__file__).parents[3]
OUR_MODULE = REPOSITORY / "prosody" / "mod_invites_invited"
TEST_MODULES = Path(__file__).parents[1] / "prosody_modules"
MODULES = [
    "roster",
    "saslauth",
    "tls",
    "disco",
    "presence",
    "ping",
    "adhoc",
    "admin_shell",
    "invites",
    "invites_register",
    "invites_adhoc",
    "e2e_password_policy",
]

CONFIG = """
run_as_root = true
pidfile = {pidfile}
data_path = {data}
certificates = {certificates}
plugin_paths = {{ {plugin_paths} }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s_port} }}
http_ports = {{ {http_port} }}
https_ports = {{}}
s2s_ports = {{}}
admin_socket = {admin_socket}
modules_enabled = {{ {modules} }}
modules_disabled = {{ "s2s" }}
authentication = "internal_hashed"
admins = {{ "admin@localhost" }}
allow_user_invites = true
log = {{ {log_level} = {log} }}
{options}

VirtualHost "localhost"
    ssl = {{ certificate = {certificate}, key = {key} }}
    http_host = "127.0.0.1"

VirtualHost "other.localhost"
    ssl = {{ certificate = {certificate}, key = {key} }}
    modules_disabled = {{ "s2s", "invites", "invites_register", "invites_adhoc" }}
"""


class Prosody(Server):
    """`without` names files of our module that are not there, so that Prosody finds its own."""

    def __init__(
        self, directory, certificates, *, stock=False, modules=(), options=None, without=(), log_level="debug"
    ):
        directory.mkdir(parents=True)
        self.directory = directory
        self.certificates = certificates
        self.plugin_paths = [TEST_MODULES]
        if not stock:
            ours = OUR_MODULE
            if without:
                ours = shutil.copytree(OUR_MODULE, directory / "plugins", ignore=shutil.ignore_patterns(*without))
            self.plugin_paths.insert(0, ours)
        self.modules = [*MODULES, *modules]
        self.options = options or {}
        self.more_hosts = ""
        self.log_level = log_level
        self.port = free_port()
        self.http_port = free_port()
        self.config = directory / "prosody.cfg.lua"
        self.log = directory / "prosody.log"
        super().__init__(
            "Prosody",
            ["prosody", "-F", "--config", str(self.config)],
            directory / "prosody.out",
        )
        watch_log(self.log)

    def start(self):
        self._write_config()
        self.spawn()
        wait_until(lambda: self.assert_running() and accepts(self.port), "Prosody listens")

    def stop(self):
        # Prosody 0.12.3 may hang when SIGTERM comes while a stream is being closed (mod_c2s.lua:469).
        if self.running:
            self.kill()

    def control(self, *arguments):
        """`prosodyctl` with this server's configuration; its notices of missing Lua packages are left out."""
        done = subprocess.run(
            ["prosodyctl", "--config", str(self.config), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        done.stdout = re.sub(r"\A(\s*\*{26}\n.*?\n\*{26}\n+)+", "", done.stdout, flags=re.DOTALL)
        return done

    def stock_invite(self, *roles):
        """What Prosody's own command prints for a new account invite. In 13 `generate` is no more than a name."""
        options = [word for role in roles for word in ("--role", role)]
        command = ["shell", "invite", "create_account"] if IS_13 else ["mod_invites", "generate"]
        done = self.control(*command, "localhost", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def add_account(self, name, password, host="localhost"):
        done = self.control("register", name, host, password)
        assert done.returncode == 0, done.stdout + done.stderr

    def accounts(self):
        """The names of all accounts, as they lie on the disk."""
        return {unquote(file.stem) for file in (self.directory / "data" / "localhost" / "accounts").glob("*.dat")}

    def account(self, name):
        """An account as it lies on the disk."""
        script = "for key, value in pairs(dofile(arg[1])) do print(key, value) end"
        fields = _run_lua(script, self.directory / "data" / "localhost" / "accounts" / f"{_file_name(name)}.dat")
        return {key: int(value) if value.isdigit() else value for key, value in fields.items()}

    def contacts(self, name):
        """The roster of an account as it lies on the disk: address to subscription."""
        script = (
            "local roster = dofile(arg[1]) for address, item in pairs(roster) do "
            "if address then print(address, item.subscription) end end"
        )
        file = self.directory / "data" / "localhost" / "roster" / f"{name}.dat"
        return _run_lua(script, file) if file.exists() else {}

    def _write_config(self):
        self.config.write_text(
            CONFIG.format(
                pidfile=_text(self.directory / "prosody.pid"),
                data=_text(self.directory / "data"),
                plugin_paths=", ".join(map(_text, self.plugin_paths)),
                c2s_port=self.port,
                http_port=self.http_port,
                admin_socket=_text(self.directory / "prosody.sock"),
                modules=", ".join(map(_text, self.modules)),
                log=_text(self.log),
                log_level=self.log_level,
                certificates=_text(self.certificates.directory),
                certificate=_text(self.certificates.certificate),
                key=_text(self.certificates.key),
                options="\n".join(f"{name} = {_text(value)}" for name, value in self.options.items()),
            )
            + self.more_hosts
        )


def _text(value):
    """A Lua literal. JSON's strings, numbers and booleans are Lua's too."""
    return json.dumps(value if isinstance(value, (bool, int)) else str(value))


def _run_lua(script, file):
    """What a script says about a file, in lines of a key, a tab and a value."""
    shown = subprocess.run(["lua5.4", "-", str(file)], input=script, capture_output=True, text=True, check=True)
    return dict(line.split("\t") for line in shown.stdout.splitlines())


def _file_name(name):
    """As Prosody writes a name on the disk."""
    return "".join(c if c.isascii() and c.isalnum() else "".join(f"%{b:02x}" for b in c.encode()) for c in name)
