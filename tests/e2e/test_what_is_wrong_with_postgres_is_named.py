"""Whatever can be wrong with PostgreSQL: the operator reads what it is and what to do, clients get an error with a
code, and nothing is left half done."""

import hashlib
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from harness.certificates import Certificates
from harness.invited import Node
from harness.postgres import Postgres
from harness.prosody import REPOSITORY
from harness.waiting import free_port, wait_until

pytestmark = pytest.mark.once

CROWD = 40
"""Clients at once; more than a node has connections that read."""
PATIENCE = 12
"""Seconds within which every reader must have its answer: one wait for a connection, one for the database."""
PATIENCE_WHEN_WRITING = 15
"""The same for changes: a commit is given up after 8 s, the connection that those behind it need after 5."""
FIRST_SCHEMA = REPOSITORY / "migrations" / "postgres" / "0001_start.sql"

numbers = itertools.count()


@pytest.fixture(scope="module")
def server():
    server = Postgres("postgres")
    try:
        server.start()
        server.sql("create role guarded login password 'right'", database="postgres")
        server.guard("host all guarded 127.0.0.1/32 scram-sha-256")
        yield server
    finally:
        server.stop()


@pytest.fixture
def database(server):
    """The name of an empty database."""
    name = f"desk{next(numbers)}"
    server.sql(f"create database {name}", database="postgres")
    return name


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("postgres") / "certificates")


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("postgres://invited@127.0.0.1:{nobody}/{database}", ("127.0.0.1:{nobody}", "Connection refused")),
        ("postgres://invited@nowhere.invalid/{database}", ("on nowhere.invalid", "lookup")),
        ("postgres://invited@127.0.0.1:{port}/nowhere", ('database "nowhere" does not exist', "createdb")),
        ("postgres://stranger@127.0.0.1:{port}/{database}", ('role "stranger" does not exist',)),
        ("postgres://guarded@127.0.0.1:{port}/{database}", ("password missing", "set INVITED_DATABASE_PASSWORD")),
        ("postgres://guarded:wrong@127.0.0.1:{port}/{database}", ("password authentication failed", "INVITED_DAT")),
        ("postgres://guarded:right@127.0.0.1:{port}/{database}", ("permission denied", "must be allowed to make")),
        ("postgres://invited@127.0.0.1:{port}/{database}?sslmode=require", ("does not support TLS", "switch TLS on")),
    ],
)
def test_a_wrong_address_is_named(server, database, tmp_path, address, told):
    words = {"nobody": free_port(), "port": server.port, "database": database}
    node = Node(tmp_path, address.format(**words))
    _assert_refused(node, *(part.format(**words) for part in told))
    assert _tables(server, database) == ""


def test_a_wrong_password_in_the_environment_is_named(server, database, tmp_path):
    node = Node(tmp_path, server.address("guarded", database=database))
    node.environment["INVITED_DATABASE_PASSWORD"] = "wrong"
    _assert_refused(node, "password authentication failed", "look at INVITED_DATABASE_PASSWORD")


@pytest.mark.parametrize(
    ("names", "days", "known", "told"),
    [
        (["IP:127.0.0.1"], -1, True, ("Expired", "renew it there")),
        (
            ["DNS:db.example.com"],
            2,
            True,
            ('not valid for name "127.0.0.1"', "db.example.com", "by a name that is in it"),
        ),
        (["IP:127.0.0.1"], 2, False, ("UnknownIssuer", "database_ca_file")),
    ],
    ids=["expired", "for another name", "of an unknown authority"],
)
def test_a_bad_certificate_is_named(certificates, stack, tmp_path, names, days, known, told):
    server = Postgres("postgres-with-tls")
    stack.callback(server.stop)
    server.start()
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    certificates.issue(names, certificate, key, days)
    server.show_certificate(certificate, key)
    authority = certificates.authority if known else None
    # Also without "require": a certificate that is shown counts, and no password goes to a stranger.
    for mode in ("require", "prefer"):
        node = Node(tmp_path / mode, f"{server.url}?sslmode={mode}")
        _trust(node, authority)
        _assert_refused(node, "on 127.0.0.1", "certificate", *told)
    assert _tables(server) == ""

    # The same server with what it should show.
    certificates.issue(["IP:127.0.0.1"], certificate, key)
    server.show_certificate(certificate, key)
    node = Node(tmp_path / "good", f"{server.url}?sslmode=require")
    _trust(node, certificates.authority)
    node.invite()
    assert "invites" in _tables(server)


@pytest.fixture(scope="module")
def server_with_tls(certificates):
    server = Postgres("postgres-with-tls")
    try:
        server.start()
        server.sql("alter system set log_connections = on", database="postgres")
        server.sql("create database desk", database="postgres")
        yield server
    finally:
        server.stop()


ELSEWHERE = "postgres://invited@db.example.com:{port}/{database}?hostaddr=127.0.0.1"
HERE = "postgres://invited@127.0.0.1:{port}/{database}?"


@pytest.mark.parametrize(
    ("address", "parameters", "names", "days", "known", "told"),
    [
        (ELSEWHERE, "", "DNS:db.example.com", 2, True, None),
        (ELSEWHERE, "", "DNS:db.example.com", 2, False, "UnknownIssuer"),
        (ELSEWHERE, "", "DNS:other.example.com", 2, True, "not valid for name"),
        (ELSEWHERE, "sslmode=require", "DNS:other.example.com", 2, True, "not valid for name"),
        (ELSEWHERE, "sslmode=verify-full", "DNS:other.example.com", 2, True, "not valid for name"),
        (ELSEWHERE, "sslmode=verify-full", "DNS:db.example.com", 2, True, None),
        (ELSEWHERE, "sslmode=verify-ca", "DNS:other.example.com", 2, True, None),
        (ELSEWHERE, "sslmode=verify-ca", "DNS:other.example.com", -1, True, "Expired"),
        (ELSEWHERE, "sslmode=verify-ca&sslrootcert={stranger}", "DNS:db.example.com", 2, False, "database_ca_file"),
        (ELSEWHERE, "sslrootcert={authority}", "DNS:db.example.com", 2, False, None),
        (HERE, "", "IP:127.0.0.1", 2, True, None),
        (HERE, "", "DNS:other.example.com", 2, True, "not valid for name"),
        (HERE, "sslmode=require", "IP:127.0.0.1", 2, False, "UnknownIssuer"),
    ],
)
def test_tls_to_the_database_is_verified(
    certificates, server_with_tls, tmp_path, address, parameters, names, days, known, told
):
    server = server_with_tls
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    certificates.issue([names], certificate, key, days)
    server.show_certificate(certificate, key)
    url = _tls_address(tmp_path, certificates, server, f"{address}&{parameters}")
    node = Node(tmp_path / "node", url)
    _trust(node, certificates.authority if known else None)
    before = server.output.stat().st_size
    if told:
        _assert_refused(node, told)
    else:
        assert node.invite()["token"]
        log = server.output.read_bytes()[before:].decode()
        assert "application_name=invited SSL enabled" in log
        if "sslrootcert" in parameters:
            done = node.run("import", "ejabberd", "--database", url)
            assert 'there is no table "invite_token"' in done.stderr


def test_a_server_on_this_machine_with_the_certificate_of_its_package_is_used_as_it_is(
    certificates, server_with_tls, tmp_path
):
    """Debian's shows one that nobody signed, for a name of the machine."""
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    certificates.issue(["DNS:some-machine"], certificate, key)
    server_with_tls.show_certificate(certificate, key)
    assert Node(tmp_path / "node", server_with_tls.url).invite()["token"]


def _tls_address(folder, certificates, server, address):
    stranger = Certificates(folder / "stranger").authority
    words = {"port": server.port, "database": "desk", "authority": certificates.authority, "stranger": stranger}
    return address.format(**words)


def test_a_certificate_that_expires_while_running_stops_new_connections_only(certificates, stack, tmp_path):
    server = Postgres("postgres-with-tls")
    stack.callback(server.stop)
    server.start()
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    certificates.issue(["IP:127.0.0.1"], certificate, key)
    server.show_certificate(certificate, key)
    node = Node(tmp_path / "node", f"{server.url}?sslmode=require")
    _trust(node, certificates.authority)
    stack.callback(node.stop)
    node.start()
    headers = {"Authorization": f"Bearer {node.key()}"}
    with httpx.Client(base_url=node.url, headers=headers) as http:
        assert http.post("/invites_api").status_code == 201
        certificates.issue(["IP:127.0.0.1"], certificate, key, -1)
        server.show_certificate(certificate, key)
        assert http.post("/invites_api").status_code == 201

        _end_sessions(server)
        wait_until(lambda: _is_unavailable(http.post("/invites_api")), "new connections are refused")
        ready = httpx.get(f"{node.bridge_url}/readyz")
        assert ready.status_code == 503 and "Expired" in ready.text, ready.text
        assert "Expired; renew it there" in node.output.read_text()

        certificates.issue(["IP:127.0.0.1"], certificate, key)
        server.show_certificate(certificate, key)
        wait_until(lambda: http.post("/invites_api").status_code == 201, "it works again")


def test_a_schema_of_a_newer_version_is_left_alone(server, database, tmp_path):
    node = Node(tmp_path, server.address(database=database))
    token = node.invite()["token"]
    server.sql("insert into schema_migrations values (999, 'future', 'x', 999, 0)", database)
    before = _tables(server, database)
    _assert_refused(node, "schema 999", "a newer invited made", "Install that version again")
    assert _tables(server, database) == before
    server.sql("delete from schema_migrations where version = 999", database)
    assert [invite["token"] for invite in node.invites()] == [token]


def test_a_schema_that_is_not_ours_is_left_alone(server, database, tmp_path):
    node = Node(tmp_path, server.address(database=database))
    node.invite()
    server.sql("update schema_migrations set checksum = 'x' where version = 2", database)
    _assert_refused(node, f'the database "{database}"', "step 2 (history)", "not the one of this version")


def test_an_older_schema_is_brought_up_to_date_whole_or_not_at_all(server, database, tmp_path):
    sql = FIRST_SCHEMA.read_text()
    checksum = hashlib.sha256(sql.encode() + b"\0").hexdigest()
    server.sql(
        "create table schema_migrations (version bigint not null primary key, name text not null,"
        " checksum text not null, oldest bigint not null, applied_at bigint not null);"
        f"insert into schema_migrations values (1, 'start', '{checksum}', 1, 0); {sql}",
        database,
    )
    server.sql("grant all on schema public to guarded; grant all on all tables in schema public to guarded", database)
    before = _tables(server, database)
    stranger = Node(tmp_path / "stranger", server.address("guarded:right", database=database))
    _assert_refused(stranger, "must be owner of", "the tables must belong to this user")
    assert _tables(server, database) == before
    assert server.sql("select max(version) from schema_migrations", database) == "1"

    owner = Node(tmp_path / "owner", server.address(database=database))
    token = owner.invite()["token"]
    assert [invite["token"] for invite in owner.invites()] == [token]
    assert int(server.sql("select max(version) from schema_migrations", database)) >= 3


def test_a_replica_that_only_reads_is_named(stack, tmp_path):
    primary, standby = Postgres("primary"), Postgres("standby")
    stack.callback(primary.stop)
    primary.start()
    stack.callback(standby.stop)
    standby.start_as_standby_of(primary)
    told = ("it is a read-only replica", "name the primary")
    _assert_refused(Node(tmp_path / "empty", standby.url), *told)
    Node(tmp_path / "primary", primary.url).invite()
    _assert_refused(Node(tmp_path / "made", standby.url), *told)
    only_writable = f"{standby.url}?target_session_attrs=read-write"
    _assert_refused(Node(tmp_path / "asked", only_writable), "database does not allow writes", "name the primary")


def test_a_server_without_free_connections_is_named(stack, tmp_path):
    server = Postgres("small-postgres", connections=12)
    stack.callback(server.stop)
    server.start()
    node = Node(tmp_path / "first", server.url)
    stack.callback(node.stop)
    node.start()
    token = node.invite()["token"]
    headers = {"Authorization": f"Bearer {node.key()}"}
    with httpx.Client(base_url=node.url, headers=headers) as http:
        with ExitStack() as others:
            _end_sessions(server)
            for _ in range(12):
                others.enter_context(server.session("begin"))
            told = ("too many clients already (53300)", "each node takes up to 9", "PgBouncer")
            _assert_refused(Node(tmp_path / "second", server.url), *told)

            answer = http.get(f"/invite?{token}")
            assert answer.status_code == 503, answer.text
            answer = http.post("/invites_api")
            assert _is_unavailable(answer), answer.text
            ready = httpx.get(f"{node.bridge_url}/readyz")
            assert ready.status_code == 503 and "too many clients" in ready.text, ready.text
            assert all(part in node.output.read_text() for part in told)
        wait_until(lambda: http.post("/invites_api").status_code == 201, "it works again")
        assert http.get(f"/invite?{token}").status_code == 200
    assert len(node.invites()) == 2


def test_busy_connections_are_named_and_given_back(server, database, stack, tmp_path):
    """Somebody locks the table, as `vacuum full` does; later all is well, and no connection is left behind."""
    node = Node(tmp_path, server.address(database=database))
    stack.callback(node.stop)
    node.start()
    token = node.invite()["token"]
    with ThreadPoolExecutor(CROWD) as crowd, httpx.Client(base_url=node.url, timeout=60) as http:
        for _ in range(2):
            with server.session("begin; lock table invites", database):
                began = time.monotonic()
                answers = list(crowd.map(lambda _: http.get(f"/invite?{token}"), range(CROWD)))
                assert time.monotonic() - began < PATIENCE
                assert {answer.status_code for answer in answers} == {503}
                assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
                wait_until(lambda: _sessions(server, database) <= 9, "what waits for the lock is given up")
        log = node.output.read_text()
        assert "all 8 connections that read have been busy for 5 s" in log
        assert "no answer in time" in log
        assert http.get(f"/invite?{token}").status_code == 200


def test_a_change_that_the_database_does_not_answer_has_an_unknown_outcome(server, database, stack, tmp_path):
    node = Node(tmp_path, server.address(database=database))
    stack.callback(node.stop)
    node.start()
    headers = {"Authorization": f"Bearer {node.key()}"}
    with httpx.Client(base_url=node.url, headers=headers, timeout=60) as http:
        assert http.post("/invites_api").status_code == 201
        with server.session("begin; lock table invites in exclusive mode", database):
            answer = http.post("/invites_api")
            assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown"), answer.text
        wait_until(lambda: http.post("/invites_api").status_code == 201, "it works again")
    # The one that nobody knew of may be there, whole, and only once.
    assert len(node.invites()) in (2, 3)


def test_a_database_that_hangs_is_named_and_nobody_waits_for_ever(stack, tmp_path):
    """All its processes stop, as on a machine that swaps to death."""
    server = Postgres("hanging-postgres")
    stack.callback(server.stop)
    server.start()
    node = Node(tmp_path / "node", server.url)
    stack.callback(node.stop)
    node.start()
    headers = {"Authorization": f"Bearer {node.key()}"}
    with (
        ThreadPoolExecutor(CROWD) as crowd,
        httpx.Client(
            base_url=node.url, headers=headers, timeout=60, limits=httpx.Limits(max_connections=CROWD)
        ) as http,
    ):
        assert http.post("/invites_api").status_code == 201
        server.freeze()
        try:
            began = time.monotonic()
            answers = list(crowd.map(lambda _: http.post("/invites_api"), range(CROWD)))
            assert time.monotonic() - began < PATIENCE_WHEN_WRITING
            # What was on its way to the database when that stopped may still be carried out.
            unknown = [answer for answer in answers if answer.json()["code"] == "outcome_unknown"]
            refused = [answer for answer in answers if answer not in unknown]
            assert all(answer.status_code == 503 for answer in unknown)
            assert all(map(_is_unavailable, refused)), {answer.text for answer in refused}
            assert refused, "most were never sent"
            _assert_refused(Node(tmp_path / "second", server.url), "no answer in time")
        finally:
            server.thaw()
        wait_until(lambda: http.post("/invites_api").status_code == 201, "it works again")
    assert "no answer in time" in node.output.read_text()
    assert 2 <= len(node.invites()) <= 2 + len(unknown), "nothing of what was refused is there"


def _assert_refused(node, *told):
    """Neither the daemon starts nor a command runs: one line, exit 1."""
    for command in (["serve"], ["invite", "create", "localhost"]):
        done = node.run(*command)
        assert done.returncode == 1, done
        line = done.stderr.splitlines()[-1]
        assert line.startswith("invited: The database cannot be used now: "), done.stderr
        missing = [part for part in told if part not in line]
        assert not missing, line


def _trust(node, authority):
    if authority:
        node.config.write_text(f'database_ca_file = "{authority}"\n{node.config.read_text()}')


def _is_unavailable(answer):
    return answer.status_code == 503 and answer.json()["code"] == "store_unavailable"


def _tables(server, database="invited"):
    sql = """select string_agg(table_name || '.' || column_name, ' ' order by table_name, column_name)
               from information_schema.columns where table_schema = 'public'"""
    return server.sql(sql, database)


def _sessions(server, database):
    where = f"datname = '{database}' and application_name = 'invited'"
    return int(server.sql(f"select count(*) from pg_stat_activity where {where}", database="postgres"))


def _end_sessions(server):
    server.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'invited'")
    wait_until(lambda: _sessions(server, "invited") == 0, "they have ended")
