"""The whole road with PostgreSQL below it, also through PgBouncer, also when the primary dies under load."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from harness.certificates import Certificates
from harness.invited import Node
from harness.load import CLIENTS, Load
from harness.loop import run
from harness.postgres import PgBouncer, Postgres
from harness.race import register_all_at_once
from harness.site import Site
from harness.waiting import wait_until

pytestmark = pytest.mark.once

FAILOVERS = int(os.environ.get("FAILOVERS", "2"))
"""How often the primary dies. Each takes some seconds; before a release run 20."""
BACK_WITHIN = 15
"""Seconds from the death of the primary until as many invites as there are clients were made again, and as many
redeemed; promotion included."""


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


@pytest.mark.parametrize("way", ["directly", "over TLS", "through PgBouncer", "switched off"])
def test_statements_are_prepared_only_in_a_session_of_the_servers_own(stack, tmp_path, way):
    database = started(stack, Postgres())
    database.sql("alter system set log_statement = 'all'", database="postgres")
    database.sql("select pg_reload_conf()", database="postgres")
    if way == "over TLS":
        certificates = Certificates(tmp_path / "certificates")
        certificates.issue(["IP:127.0.0.1"], certificates.certificate, certificates.key)
        database.show_certificate(certificates.certificate, certificates.key)
        node = Node(tmp_path / "node", f"{database.url}?sslmode=require")
        node.config.write_text(f'database_ca_file = "{certificates.authority}"\n{node.config.read_text()}')
    else:
        door = started(stack, PgBouncer(database)) if way == "through PgBouncer" else database
        node = Node(tmp_path / "node", door.url)
    if way == "switched off":
        node.config.write_text(f"database_prepared = false\n{node.config.read_text()}")
    started(stack, node)
    unnamed = way in ("through PgBouncer", "switched off")
    headers = {"Authorization": f"Bearer {node.key()}"}
    with httpx.Client(base_url=node.url, headers=headers) as http:
        for _ in range(2):
            made = http.post("/invites_api")
            assert made.status_code == 201, made.text
            assert http.get(f"/invite?{made.headers['location'].partition('?')[2]}").status_code == 200
    said = database.output.read_text()
    for sql in (r"insert into\s+invites", r"select id, kind"):
        names = re.findall(rf"execute (\S+):\s+{sql}", said)
        assert len(names) >= 2, sql
        assert all((name == "<unnamed>") == unnamed for name in names), names


def test_two_nodes_share_one_database(stack, tmp_path):
    database = started(stack, Postgres())
    one, two = _nodes(stack, tmp_path, database.url)
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
    one, two = _nodes(stack, tmp_path, database.url)
    load = Load([one, two], one.key("load"))
    with load:
        load.wait_for(300, "invites are made and redeemed", 60)
        two.kill()
        load.wait_for(300, "the other node goes on", 60)
    _check_nothing_lost(load, one, database)
    assert load.left, "some invites are still to be redeemed"
    with httpx.Client() as http:
        for token in load.left:
            assert http.get(f"{one.url}/invite?{token}").status_code == 200, "its link works at the other node"
            answer = _reserve(http, one, token, f"late-{token[:8].lower()}")
            assert answer.status_code == 200, answer.text


def test_no_answered_invite_is_lost_when_the_primary_dies(stack, tmp_path):
    """`kill -9` of the primary while clients make and redeem; the standby is promoted by hand, as an operator would."""
    primary = started(stack, Postgres("primary"))
    standby = Postgres("standby")
    stack.callback(standby.stop)
    standby.start_as_standby_of(primary)
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    nodes = _nodes(stack, tmp_path, f"postgres://invited@{hosts}/invited?target_session_attrs=read-write")
    load = Load(nodes, nodes[0].key("load"))
    outages = []
    with load:
        for number in range(1, FAILOVERS + 1):
            load.wait_for(300, "invites are made and redeemed", 60)
            primary.kill()
            outages.append(_fail_over(load, standby, number))
            if number < FAILOVERS:
                # What was the standby gets one of its own, at the address of the dead.
                port = primary.port
                primary.stop()
                primary, standby = standby, Postgres("standby")
                standby.port = port
                stack.callback(standby.stop)
                standby.start_as_standby_of(primary)
    _check_nothing_lost(load, nodes[0], standby)
    print(f"{len(outages)} failovers, {len(load.made)} invites made, {len(load.redeemed)} redeemed, nothing lost")
    assert max(outages) < BACK_WITHIN, outages


def test_a_primary_that_vanishes_is_given_up(stack, tmp_path):
    """As when its machine loses power: connections stay silent, and nobody refuses new ones."""
    primary = started(stack, Postgres("primary", connections=20))
    standby = Postgres("standby", connections=20)
    stack.callback(standby.stop)
    standby.start_as_standby_of(primary)
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    url = f"postgres://invited@{hosts}/invited?target_session_attrs=read-write"
    node = started(stack, Node(tmp_path / "node", url))
    load = Load([node], node.key("load"))
    with load:
        load.wait_for(300, "invites are made and redeemed", 60)
        primary.freeze()
        stack.enter_context(primary.silence())
        outage = _fail_over(load, standby, 1)
        primary.kill()
    _check_nothing_lost(load, node, standby)
    assert outage < BACK_WITHIN


def test_what_a_pooler_does_not_know_is_told_as_unknown(stack, tmp_path):
    """PgBouncer lives on while PostgreSQL dies: its error does not say what became of the commit of a whole group."""
    database = started(stack, Postgres())
    bouncer = started(stack, PgBouncer(database))
    node = started(stack, Node(tmp_path / "node", bouncer.url))
    headers = {"Authorization": f"Bearer {node.key()}"}
    fresh_keys = [node.key() for _ in range(3)]
    pool = stack.enter_context(ThreadPoolExecutor())
    http = stack.enter_context(httpx.Client(base_url=node.url, headers=headers, timeout=40))
    assert http.post("/invites_api").status_code == 201

    def wait_for_waiting(count):
        sql = "select count(*) from pg_locks where not granted"
        wait_until(lambda: database.sql(sql) == str(count), f"{count} wait for a lock")

    no_writes = "begin; lock table invites in exclusive mode"
    first_lock = database.session(no_writes)
    stack.callback(first_lock.close)
    single = pool.submit(http.post, "/invites_api")
    wait_for_waiting(1)
    second_lock = pool.submit(database.session, no_writes)
    wait_for_waiting(2)
    # A key is looked up when it comes first. So these get past that together, and are one group after the single one.
    with database.session("begin; lock table api_keys"):
        group = [
            pool.submit(http.post, "/invites_api", headers={"Authorization": f"Bearer {key}"}) for key in fresh_keys
        ]
        wait_for_waiting(5)
    wait_for_waiting(2)
    assert http.get("/invite?unknown").status_code == 404
    first_lock.close()
    stack.callback(second_lock.result().close)
    wait_for_waiting(1)
    database.kill()
    assert single.result().status_code == 201
    codes = [answer.result().json()["code"] for answer in group]
    assert codes == ["outcome_unknown"] * 3, codes

    database.start()
    wait_until(lambda: http.post("/invites_api").status_code == 201, "it works again", 60)


def _fail_over(load, standby, number):
    """Promotes the standby of a primary that is gone by now; answers the seconds until the service was back."""
    made, redeemed = len(load.made), len(load.redeemed)
    died = time.monotonic()
    standby.promote()
    promoted = time.monotonic() - died
    load.wait_for(1, "the first answer", 60)
    first = time.monotonic() - died
    load.wait_for(CLIENTS, "the service is back", 60)
    back = time.monotonic() - died
    print(
        f"failover {number}: promoted after {promoted:.1f} s, first invite made and redeemed after {first:.1f} s,"
        f" {CLIENTS} after {back:.1f} s; {made} were made and {redeemed} redeemed before it",
        flush=True,
    )
    return back


def _check_nothing_lost(load, node, database):
    """Every answer still holds, and no invite gave more than its one use."""
    assert load.unexpected == set()
    stored = {invite["token"]: invite["uses"] for invite in node.invites()}
    lost = load.made - stored.keys()
    assert not lost, f"{len(lost)} of {len(load.made)} answered invites are lost"
    twice = {token for token, reservations in load.reserved.items() if len(reservations) > 1}
    assert not twice, f"{len(twice)} invites gave their use twice"
    forgotten = {token for token in load.reserved if stored[token] != 1}
    assert not forgotten, f"{len(forgotten)} uses that were given are not counted"

    confirmed = set(database.sql("select encode(id, 'hex') from registrations where confirmed_at is not null").split())
    unconfirmed = {reservation for reservations in load.redeemed.values() for reservation in reservations} - confirmed
    assert not unconfirmed, f"{len(unconfirmed)} answered registrations are lost"
    uses = "select count(*) from registrations where invite_id = invites.id and released_at is null"
    assert database.sql(f"select count(*) from invites where uses <> ({uses}) or uses > max_uses") == "0"


def _reserve(http, node, token, name):
    headers = {"Authorization": f"Bearer {node.secret_file.read_text()}"}
    body = {"host": "localhost", "token": token, "username": name, "holder": name}
    return http.post(f"{node.bridge_url}/bridge/v1/reserve", headers=headers, json=body)


def _nodes(stack, directory, database):
    return [started(stack, Node(directory / name, database)) for name in ("one", "two")]
