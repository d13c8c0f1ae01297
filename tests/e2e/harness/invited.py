"""The daemon under test and its command line."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

from .certificates import Certificates
from .process import Server
from .prosody import REPOSITORY
from .waiting import free_port, wait_until

BINARY = Path(os.environ.get("INVITED_BIN", REPOSITORY / "target" / "debug" / "invited")).resolve()

CONFIG = """
{database}data_path = {data}
http_ports = [{port}]
http_interfaces = ["127.0.0.1"]
http_external_url = "{url}/"
http_default_host = "localhost"
request_timeout = "5s"
max_connections = {max_connections}
failures_per_minute = 0

[bridge]
listen = "127.0.0.1:{bridge_port}"
secret_file = "bridge.secret"

[hosts."localhost"]
{host_options}

[hosts."localhost".xmpp]
address = "127.0.0.1:{xmpp_port}"
ca_file = {authority}
"""


class Invited(Server):
    """`invited serve`, with the XMPP server at `xmpp_port` and the certificates of `authority`."""

    def __init__(
        self,
        directory,
        *,
        xmpp_port,
        authority,
        log_level="debug",
        max_connections=4096,
        database=None,
        host_options="",
    ):
        directory.mkdir(parents=True)
        self.directory = directory
        self.data = directory / "data"
        self.secret_file = self.data / "bridge.secret"
        self.port = free_port()
        self.bridge_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.bridge_url = f"http://127.0.0.1:{self.bridge_port}"
        self.config = directory / "invited.toml"
        self.config.write_text(
            CONFIG.format(
                database=f"database = {json.dumps(database)}\n" if database else "",
                data=json.dumps(str(self.data)),
                port=self.port,
                url=self.url,
                bridge_port=self.bridge_port,
                max_connections=max_connections,
                host_options=host_options,
                xmpp_port=xmpp_port,
                authority=json.dumps(str(authority)),
            )
        )
        clean = {name: value for name, value in os.environ.items() if not name.startswith("INVITED_")}
        super().__init__(
            "invited",
            [str(BINARY), "serve", "--config", str(self.config)],
            directory / "invited.log",
            {**clean, "RUST_LOG": log_level},
        )

    def start(self):
        assert BINARY.exists(), f"{BINARY} is not built; set INVITED_BIN"
        self.spawn()
        wait_until(lambda: self.assert_running() and self._ready(), "invited is ready")

    def run(self, *arguments, timeout=30):
        """The command line on this daemon's configuration."""
        return subprocess.run(
            [str(BINARY), "--config", str(self.config), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
        )

    def output_of(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def key(self, *name):
        return self.output_of("key", "create", "localhost", *name)

    def invite(self, *options):
        """A new account invite, with `token`, `url`, `uri`, …"""
        return json.loads(self.output_of("invite", "create", "localhost", *options, "--json"))

    def contact_invite(self, inviter, *options):
        return json.loads(self.output_of("invite", "contact", f"{inviter}@localhost", *options, "--json"))

    def reset_invite(self, name):
        return json.loads(self.output_of("invite", "reset", f"{name}@localhost", "--json"))

    def show(self, token):
        return json.loads(self.output_of("invite", "show", "localhost", token, "--json"))

    def uses(self, token):
        """Uses taken, those of unfinished registrations included."""
        return self.show(token)["uses"]

    def invites(self):
        done = self.run("invite", "list", "localhost", "--json", timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def _ready(self):
        try:
            with urllib.request.urlopen(f"{self.bridge_url}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False


class Node(Invited):
    """One of several on one database. All have the same key for links, and the same bridge secret."""

    def __init__(self, directory, database, log_level="info"):
        certificates = Certificates(directory / "certificates")
        super().__init__(
            directory / "invited",
            xmpp_port=free_port(),
            authority=certificates.authority,
            log_level=log_level,
            database=database,
        )
        self.data.mkdir(mode=0o700)
        for file, text in ((self.data / "link.key", "A" * 42 + "8="), (self.secret_file, "B" * 43)):
            file.write_text(text)
            file.chmod(0o600)
