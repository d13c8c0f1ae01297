"""Private PostgreSQL servers: a primary, a synchronous standby that can be promoted, PgBouncer in front."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .process import Server
from .waiting import accepts, free_port, wait_until

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"))
AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
"""PostgreSQL does not run as root."""

SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = {connections}
synchronous_commit = on
synchronous_standby_names = '{standby}'
wal_level = replica
hot_standby = on
"""


class Postgres(Server):
    """An empty server with a database `invited`; the user `invited` may do everything in it."""

    def __init__(self, name="postgres", connections=200):
        self.connections = connections
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"invited-{name}-"))
        self.data = self.folder / "data"
        if AS_POSTGRES:
            shutil.chown(self.folder, "postgres", "postgres")
        super().__init__(
            name,
            [*AS_POSTGRES, str(PROGRAMS / "postgres"), "-D", str(self.data)],
            self.folder / "postgres.log",
        )

    @property
    def url(self):
        return self.address()

    def address(self, user="invited", host="127.0.0.1", database="invited"):
        return f"postgres://{user}@{host}:{self.port}/{database}"

    def start(self):
        if not self.data.exists():
            self._program("initdb", "-D", self.data, "-U", "invited", "-A", "trust", "--encoding=UTF8", "--locale=C")
            self.configure()
            self._run()
            self.sql("create database invited", database="postgres")
        else:
            self._run()

    def configure(self, standby=""):
        settings = SETTINGS.format(port=self.port, connections=self.connections, standby=standby)
        self._write("postgresql.auto.conf", settings)

    def show_certificate(self, certificate, key):
        """New connections may use TLS, and see this certificate."""
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            self._write(name, source.read_text())
            (self.data / name).chmod(0o600)
        self.sql("alter system set ssl = on", database="postgres")
        self.sql("select pg_reload_conf()", database="postgres")

    def guard(self, rule):
        """A rule about who may connect, before all others."""
        rules = (self.data / "pg_hba.conf").read_text()
        self._write("pg_hba.conf", f"{rule}\n{rules}")
        self.sql("select pg_reload_conf()", database="postgres")

    def start_as_standby_of(self, primary):
        """Copies the primary and follows it; from now on the primary's commits wait for this one."""
        self._program(
            "pg_basebackup",
            *("-D", self.data, "-d", f"host=127.0.0.1 port={primary.port} user=invited application_name=standby"),
            *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"),
        )
        conf = self.data / "postgresql.auto.conf"
        with open(conf, "a") as file:
            file.write(f"port = {self.port}\nsynchronous_standby_names = ''\n")
        self._run()
        primary.configure(standby="standby")
        primary.sql("select pg_reload_conf()")
        wait_until(
            lambda: "sync" in primary.sql("select sync_state from pg_stat_replication"), "the standby is synchronous"
        )

    def promote(self):
        self._program("pg_ctl", "promote", "-D", self.data)

    def sql(self, statement, database="invited"):
        done = subprocess.run([*self._psql(database), "-c", statement], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def session(self, statement, database="invited"):
        """A client of its own that has carried out the statement and stays; to be closed."""
        return Session(self._psql(database), statement)

    def freeze(self):
        """Nothing answers any more, though the connections stay."""
        self._signal_all(signal.SIGSTOP)

    @contextmanager
    def silence(self):
        """New connections to a frozen server are not even refused, since the queue of its port is full."""
        with ExitStack() as queue:
            for _ in range(10 * self.connections):
                knocking = queue.enter_context(socket.socket())
                knocking.settimeout(0.5)
                if knocking.connect_ex(("127.0.0.1", self.port)) != 0:
                    break
            else:
                raise AssertionError("its queue has no end")
            yield

    def thaw(self):
        self._signal_all(signal.SIGCONT)

    def kill(self):
        self.thaw()  # what is frozen would not notice
        super().kill()

    def stop(self):
        if self.running:
            self.kill()  # sessions that are open would hold up anything gentler
        shutil.rmtree(self.folder, ignore_errors=True)

    def _psql(self, database):
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "invited"]
        return [str(PROGRAMS / "psql"), "--no-psqlrc", "-Atq", "-v", "ON_ERROR_STOP=1", *where, database]

    def _signal_all(self, number):
        """PostgreSQL puts each of its processes into a group of its own."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for process in [self.process.pid, *map(int, children)]:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def _run(self):
        self.spawn()
        wait_until(lambda: self.assert_running() and accepts(self.port) and self._answers(), f"{self.name} is ready")

    def _answers(self):
        done = subprocess.run([PROGRAMS / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], timeout=10)
        return done.returncode == 0

    def _write(self, name, text):
        path = self.data / name
        path.write_text(text)
        if AS_POSTGRES:
            shutil.chown(path, "postgres", "postgres")

    def _program(self, name, *arguments):
        done = subprocess.run(
            [*AS_POSTGRES, str(PROGRAMS / name), *map(str, arguments)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


class Session:
    """One connection to the database, held open."""

    def __init__(self, psql, statement):
        self._process = subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self._process.stdin.write(f"{statement};\n\\echo held\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "held\n", statement
        except BaseException:
            self.close()
            raise

    def close(self):
        self._process.kill()
        self._process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


BOUNCER = """
[databases]
invited = host=127.0.0.1 port={postgres} dbname=invited user=invited
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 200
default_pool_size = 4
ignore_startup_parameters =
"""


class PgBouncer(Server):
    """Gives each transaction whatever connection is free."""

    def __init__(self, postgres):
        self.port = free_port()
        self.folder = postgres.folder
        config = self.folder / "pgbouncer.ini"
        config.write_text(BOUNCER.format(postgres=postgres.port, port=self.port))
        config.chmod(0o644)
        super().__init__("pgbouncer", [*AS_POSTGRES, "/usr/sbin/pgbouncer", str(config)], self.folder / "pgbouncer.log")

    @property
    def url(self):
        return f"postgres://invited@127.0.0.1:{self.port}/invited"

    def start(self):
        self.spawn()
        wait_until(lambda: self.assert_running() and accepts(self.port), "PgBouncer listens")
