"""invited alone, with two hosts and whatever else a test writes into its configuration."""

import json
import signal
import socket
import ssl
import subprocess
import tomllib
from dataclasses import dataclass

from .certificates import Certificates
from .invited import Invited
from .waiting import free_port

HOSTS = ("a.example", "b.example")

CONFIG = """
data_path = {data}
{options}

[bridge]
listen = "127.0.0.1:{bridge_port}"

[hosts."a.example"]
{a}

[hosts."b.example"]
{b}
"""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


class Desk(Invited):
    """`options` stand at the top, `a` and `b` in the tables of the hosts. Unless the options say otherwise it
    listens at `port` and, with TLS, at `https_port`; the certificates of both hosts are in the folder `certs`."""

    def __init__(self, directory, options="", *, a="", b="", certificates=HOSTS):
        super().__init__(directory, xmpp_port=0, authority="")
        self.https_port = free_port()
        self.certs = directory / "certs"
        self.authority = Certificates(directory / "authority")
        for name in certificates:
            self.issue(name)
        written = tomllib.loads(options)
        defaults = {
            "http_ports": f"[{self.port}]",
            "http_interfaces": '["127.0.0.1"]',
            "https_ports": f"[{self.https_port}]",
            "https_interfaces": '["127.0.0.1"]',
        }
        own = [f"{key} = {value}" for key, value in defaults.items() if key not in written]
        self.config.write_text(
            CONFIG.format(
                data=json.dumps(str(self.data)),
                options="\n".join([*own, options]),
                bridge_port=self.bridge_port,
                a=a,
                b=b,
            )
        )

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def issue(self, name):
        """A new certificate for the host, in files of another name."""
        stem = name.partition(".")[0]
        self.authority.issue([f"DNS:{name}"], self.certs / f"{stem}.crt", self.certs / f"{stem}.key")

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def log(self):
        return self.output.read_text()

    def curl(self, url, *arguments):
        """What `curl` gets. Names of hosts lead to 127.0.0.1; certificates must be of our authority."""
        done = self.try_curl(url, *arguments)
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.partition("\n\n")
        status, *headers = head.splitlines()
        pairs = [header.partition(": ") for header in headers]
        return Answer(int(status.split(" ")[1]), {name.lower(): value for name, _, value in pairs}, body)

    def try_curl(self, url, *arguments):
        leads = [part for name in (*HOSTS, "elsewhere.example") for part in ("--connect-to", f"{name}::127.0.0.1:")]
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--include", "--globoff", "--max-time", "15"]
            + ["--cacert", str(self.authority.authority), *arguments, *leads, url],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def serial(self, name="a.example", port=None):
        """The serial number of the certificate that clients see."""
        with self.tls(name, port) as connection:
            return connection.getpeercert()["serialNumber"]

    def tls(self, name="a.example", port=None):
        """A connection of our own over TLS. Without a name none is sent, and none is checked."""
        context = ssl.create_default_context(cafile=self.authority.authority)
        context.check_hostname = name is not None
        connection = socket.create_connection(("127.0.0.1", port or self.https_port), timeout=15)
        return context.wrap_socket(connection, server_hostname=name)
