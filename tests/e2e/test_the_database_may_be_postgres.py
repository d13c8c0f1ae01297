"""The whole road with PostgreSQL below it, also through PgBouncer, also when the primary dies under load."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from harness.certificates import Certificates
from harness.invited import Invited
from harness.loop import run
from harness.postgres import PgBouncer, Postgres
from harness.race import register_all_at_once
from harness.site import Site
from harness.waiting import free_port, wait_until

FAILOVERS = int(os.environ.get("FAILOVERS", "2"))
"""How often the primary dies. Each takes some seconds; before a release run 20."""
CLIENTS = 64
BACK_WITHIN = 15
"""Seconds from the death of the primary to the next answered request, promotion included."""


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


def started(stack, server, *arguments):
    stack.callback(server.stop)
    server.start(*arguments)
    return server


@pytest.mark.parametrize("bouncer", [False, True], ids=["directly", "through PgBouncer"])
def test_an_invite_gives_exactly_its_accounts(stack, tmp_path, bouncer):
    database = started(stack, Postgres())
    if bouncer:
        database = started(stack, PgBouncer(database))
    site = stack.enter_context(Site(tmp_path / "site", database=database.url))
    token = site.invited.invite("--max-uses", "3")["token"]
    crowd = [*(site.stream() for _ in range(10)), *(site.form() for _ in range(10))]
    answers = run(register_all_at_once(crowd, token, "pg"), seconds=120)
    assert sum(answer.accepted for answer in answers) == 3, list(map(str, answers))
    assert len([name for name in site.prosody.accounts() if name.startswith("pg")]) == 3
    wait_until(lambda: site.invited.uses(token) == 3, "all are confirmed")
    assert site.register_on_page(token, "late").status == 410

    fixed = site.invited.invite("--username", "theo")["token"]
    assert not site.register(site.invited.invite()["token"], "theo").accepted
    assert site.register(fixed, "theo").accepted


def test_two_nodes_share_one_database(stack, tmp_path):
    database = started(stack, Postgres())
    one, two = (_node(stack, tmp_path / name, database.url) for name in ("one", "two"))
    headers = {"Authorization": f"Bearer {one.key('shared')}"}
    with httpx.Client(headers=headers) as http:
        made = http.post(f"{two.url}/invites_api")
        assert made.status_code == 201, made.text
        token = made.headers["location"].partition("?")[2]
        assert http.get(f"{one.url}/invite?{token}").status_code == 200
        one.output_of("key", "delete", "localhost", headers["Authorization"].split()[1].partition("/")[0])
        assert http.post(f"{two.url}/invites_api").status_code == 403, "dead for the very next request, on every node"


def test_a_node_that_is_killed_under_load_loses_no_answered_request(stack, tmp_path):
    database = started(stack, Postgres())
    one, two = (_node(stack, tmp_path / name, database.url) for name in ("one", "two"))
    load = Load([one.url, two.url], one.key("load"))
    with load:
        wait_until(lambda: len(load.made) > 300, "invites are being made")
        two.kill()
        before = len(load.made)
        wait_until(lambda: len(load.made) > before + 300, "the other node goes on")
    assert load.made <= _tokens(one)


def test_no_answered_invite_is_lost_when_the_primary_dies(stack, tmp_path):
    """`kill -9` of the primary while 64 clients make invites; the standby is promoted by hand, as an operator would."""
    primary = started(stack, Postgres("primary"))
    standby = Postgres("standby")
    stack.callback(standby.stop)
    standby.start_as_standby_of(primary)
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    invited = _node(stack, tmp_path / "node", f"postgres://invited@{hosts}/invited?target_session_attrs=read-write")
    load = Load([invited.url], invited.key("load"))
    outages = []
    with load:
        for round_ in range(FAILOVERS):
            before = len(load.made)
            wait_until(lambda before=before: len(load.made) > before + 300, "invites are being made", 30)
            died = time.monotonic()
            primary.kill()
            standby.promote()
            acknowledged = len(load.made)
            wait_until(lambda seen=acknowledged: len(load.made) > seen + CLIENTS, "the service is back", 60)
            outages.append(time.monotonic() - died)
            if round_ + 1 < FAILOVERS:
                # What was the standby gets one of its own, at the address of the dead.
                port = primary.port
                primary.stop()
                primary, standby = standby, Postgres("standby")
                standby.port = port
                stack.callback(standby.stop)
                standby.start_as_standby_of(primary)
    lost = load.made - _tokens(invited)
    assert not lost, f"{len(lost)} of {len(load.made)} answered invites are lost"
    assert load.unexpected == set()
    print(f"outages: {', '.join(f'{outage:.1f} s' for outage in outages)}; {len(load.made)} invites")
    assert max(outages) < BACK_WITHIN, outages


class Load:
    """Clients that make invites until told to stop; `made` are the tokens that were answered with 201."""

    def __init__(self, urls, key):
        self.made, self.unexpected = set(), set()
        self._headers = {"Authorization": f"Bearer {key}"}
        self._urls = urls
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)

    def __enter__(self):
        self._work = [self._pool.submit(self._make, self._urls[n % len(self._urls)]) for n in range(CLIENTS)]
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._pool.shutdown()
        for work in self._work:
            work.result()

    def _make(self, url):
        with httpx.Client(base_url=url, headers=self._headers, timeout=40) as http:
            while not self._ended.is_set():
                try:
                    answer = http.post("/invites_api")
                except httpx.TransportError:
                    self._ended.wait(0.2)
                    continue
                if answer.status_code == 201:
                    self.made.add(answer.headers["location"].partition("?")[2])
                elif answer.status_code == 503:
                    self._ended.wait(0.2)
                else:
                    self.unexpected.add(answer.status_code)


def _node(stack, directory, database):
    certificates = Certificates(directory / "certificates")
    node = Invited(
        directory / "invited",
        xmpp_port=free_port(),
        authority=certificates.authority,
        log_level="info",
        database=database,
    )
    # Every node needs the same key to show links again.
    node.data.mkdir(mode=0o700)
    (node.data / "link.key").write_text("A" * 42 + "8=")
    (node.data / "link.key").chmod(0o600)
    return started(stack, node)


def _tokens(invited):
    return {invite["token"] for invite in invited.invites()}
