"""The servers that are compared. Each is put back before a visit, so that all visits find the same."""

import http.client
import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filling import fill

from harness.certificates import Certificates
from harness.invited import Invited
from harness.postgres import Postgres
from harness.process import Server
from harness.prosody import Prosody
from harness.waiting import accepts, free_port, wait_until

NOTHING = Path(os.environ["NOTHING_BIN"]).resolve()

TOO_LARGE_TO_COPY = 2_000_000
"""Stores with more invites are not put back: what the visits add is little beside them."""


@contextmanager
def running(server):
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Nothing(Server):
    def __init__(self, directory):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__("nothing", [str(NOTHING), str(self.port)], directory / "nothing.log")

    def start(self):
        self.spawn()
        wait_until(lambda: self.assert_running() and accepts(self.port), "it listens")

    @contextmanager
    def fresh(self):
        with running(self):
            yield self


class Restored:
    """A server whose `data` are as they were in the beginning whenever it starts."""

    def __init__(self, server, *, copy=True):
        self.server = server
        self._kept = server.data.with_name("kept") if copy else None
        if copy:
            server.data.rename(self._kept)

    def put_back(self):
        if self._kept:
            shutil.rmtree(self.server.data, ignore_errors=True)
            shutil.copytree(self._kept, self.server.data)
            os.sync()

    @contextmanager
    def fresh(self):
        self.put_back()
        with running(self.server):
            yield self.server


def desk(folder, **settings):
    """`invited` with an API key and a landing page."""
    certificates = Certificates(folder / "certificates")
    settings = {"xmpp_port": free_port(), "authority": certificates.authority, "log_level": "warn", **settings}
    server = Invited(folder / "invited", **settings)
    server.api_key = server.key()
    server.landing_page = server.invite()["url"]
    return server


def sqlite_desk(folder, count=0):
    """With that many open invites."""
    server = desk(folder)
    if count:
        fill(server.data / "invited.sqlite", count)
    return Restored(server, copy=count < TOO_LARGE_TO_COPY)


class Nodes:
    """One PostgreSQL and several nodes of `invited` on it."""

    def __init__(self, stack, folder, count):
        self.database = Postgres()
        stack.callback(self.database.stop)
        self.database.start()
        self.nodes = [desk(folder / str(number), database=self.database.url) for number in range(count)]
        for node in self.nodes:
            node.api_key = self.nodes[0].api_key
        self.database.sql("create table bench (id bigserial primary key, body text)")
        self.database.sql("create table kept as select * from invites")

    def empty(self):
        self.database.sql("truncate invites, bench")
        self.database.sql("insert into invites select * from kept")
        self.database.sql("vacuum analyze")
        self.checkpoint()

    def checkpoint(self):
        self.database.sql("checkpoint")

    @contextmanager
    def fresh(self, count):
        """So many nodes on an empty store."""
        self.empty()
        with ExitStack() as stack:
            yield [stack.enter_context(running(node)) for node in self.nodes[:count]]


def stock_prosody(folder, storage, count):
    """Prosody's own invites in its own storage, `count` of them open, and an address that makes another."""
    server = with_data_folder(StockProsody(**prosody_settings(folder, storage)))
    with running(server):
        key = re.search(r"\S+/\S+", server.control("mod_invites_api", "create", "localhost", "bench").stdout)[0]
        server.address = f"http://127.0.0.1:{server.http_port}/invites_api?key={key}"
        for done in range(0, count, 50):
            some = f"{server.address}&n=[1-{min(50, count - done)}]"
            subprocess.run(["curl", "-sf", "-o", os.devnull, some], check=True)
    return Restored(server)


class StockProsody(Prosody):
    def __init__(self, **settings):
        super().__init__(stock=True, modules=["http", "invites_api", "invites_page", "register_apps"], **settings)

    def start(self):
        super().start()
        wait_until(lambda: self.assert_running() and accepts(self.http_port), "Prosody's API listens")


def prosody_settings(folder, storage, **options):
    """It logs as Debian's does; on loopback it also takes registrations without TLS."""
    return {
        "log_level": "info",
        "directory": folder / "prosody",
        "certificates": Certificates(folder / "certificates"),
        "options": {"storage": storage, "c2s_require_encryption": False, **options},
    }


def with_data_folder(server):
    """Prosody makes its folder for internal storage only."""
    server.data = server.directory / "data"
    server.data.mkdir()
    return server


class OurSite:
    """Prosody with our module and `invited` on SQLite beside it; tokens are made by the latter."""

    def __init__(self, folder, storage):
        self._desk = sqlite_desk(folder / "desk")
        invited = self._desk.server
        options = {"invited_url": invited.bridge_url, "invited_secret_file": invited.secret_file}
        self._prosody = Restored(with_data_folder(Prosody(**prosody_settings(folder, storage, **options))))

    @contextmanager
    def fresh(self):
        with self._desk.fresh() as invited, self._prosody.fresh() as server:
            request = urllib.request.Request(
                f"{invited.url}/invites_api", method="POST", headers={"Authorization": f"Bearer {invited.api_key}"}
            )
            yield server, [invited, server], lambda: _token(request)


class StockSite:
    """Prosody with its own modules, which also make the tokens."""

    def __init__(self, folder, storage):
        self._prosody = stock_prosody(folder, storage, 0)

    @contextmanager
    def fresh(self):
        with self._prosody.fresh() as server:
            yield server, [server], lambda: _token(server.address)


def _token(request):
    with urllib.request.urlopen(request) as answer:
        location = answer.headers["Location"]
        return location.partition("?")[2] or json.load(answer)["token"]


def first_answer(server):
    """Milliseconds from starting the process to its answer to one who asks for an invite that is not there."""
    start = time.perf_counter()
    server.spawn()
    try:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            try:
                connection.request("GET", f"/invite?{'A' * 24}")
                assert connection.getresponse().status == 404
                return (time.perf_counter() - start) * 1000
            except ConnectionRefusedError:
                server.assert_running()
                time.sleep(0.001)
            finally:
                connection.close()
    finally:
        server.stop()
