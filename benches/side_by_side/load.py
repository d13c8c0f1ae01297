"""Those who ask: wrk for HTTP, pgbench for bare PostgreSQL. Each answers with its figures."""

import http.client
import os
import re
import statistics
import subprocess
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from harness.postgres import PROGRAMS

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Figures:
    """What came of one load; latencies in milliseconds."""

    requests: int
    rate: float
    p50: float
    p99: float

    def also(self, other):
        """Two loads at the same time as one. The latencies are those of the slower one."""
        return Figures(
            self.requests + other.requests,
            self.rate + other.rate,
            max(self.p50, other.p50),
            max(self.p99, other.p99),
        )


class Wrk:
    """Asks as fast as the connections allow, from now on. All answers must be good, or all bad, as `expect` is; the
    first one must be just that."""

    def __init__(self, url, seconds, connections, *, method="GET", headers=(), expect=200, tokens=None):
        self._url = url
        self._refused = expect >= 400
        first = url.replace("TOKEN", tokens.read_text().split()[0]) if tokens else url
        self._try_once(method, first, headers, expect)
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(SCRIPT)]
        told = [method, *(part for header in headers for part in header)]
        self._process = subprocess.Popen(
            ["wrk", *options, url, "--", *told],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | ({"TOKENS": str(tokens)} if tokens else {}),
        )

    def figures(self):
        """Waits for the end."""
        said, _ = self._process.communicate()
        result = re.search(r"RESULT (\d+) (\S+) (\S+) (\S+) (\d+) (\d+)", said)
        assert result, f"wrk {self._url}:\n{said}"
        requests, duration, p50, p99, refused, errors = map(float, result.groups())
        wrong = requests - refused if self._refused else refused
        assert wrong == errors == 0, f"{self._url}: {wrong:.0f} wrong answers, {errors:.0f} errors\n{said}"
        return Figures(int(requests), requests / duration, p50, p99)

    @staticmethod
    def _try_once(method, url, headers, expect):
        request = urllib.request.Request(url, method=method, headers=dict(headers))
        try:
            with urllib.request.urlopen(request) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        assert status == expect, f"{url} answers {status}, not {expect}"


def creates(server, seconds, connections):
    headers = [("Authorization", f"Bearer {server.api_key}")]
    return Wrk(f"{server.url}/invites_api", seconds, connections, method="POST", headers=headers, expect=201)


def unknown_tokens(server, seconds, connections):
    return Wrk(f"{server.url}/invite?TOKEN", seconds, connections, expect=404)


def landing_pages(server, seconds, connections):
    """One link that everybody opens."""
    return Wrk(server.landing_page, seconds, connections)


def landing_pages_of_many(server, seconds, connections):
    """A thousand links in turn: each is opened for the first time, or after the others."""
    there = http.client.HTTPConnection("127.0.0.1", server.port)
    tokens = server.data / "links.txt"
    with tokens.open("w") as file:
        for _ in range(1000):
            there.request("POST", "/invites_api", headers={"Authorization": f"Bearer {server.api_key}"})
            answer = there.getresponse()
            answer.read()
            print(answer.headers["Location"].partition("?")[2], file=file)
    return Wrk(f"{server.url}/invite?TOKEN", seconds, connections, tokens=tokens)


def pgbench(database, seconds, clients=64):
    """One durable row at a time. Latencies are those of every tenth transaction."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "insert.sql"
        script.write_text(f"insert into bench (body) values ('{'x' * 200}');\n")
        done = subprocess.run(
            [
                *(PROGRAMS / "pgbench", "-h", "127.0.0.1", "-p", str(database.port), "-U", "invited"),
                *("-n", f"-c{clients}", "-j1", f"-T{seconds}", "-Mprepared", "-f", script),
                *("--log", "--sampling-rate=0.1", f"--log-prefix={folder}/log", "invited"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [line for log in Path(folder).glob("log*") for line in log.read_text().splitlines()]
    latencies = [int(line.split()[2]) / 1e3 for line in lines]
    requests = int(re.search(r"actually processed: (\d+)", done.stdout)[1])
    rate = float(re.search(r"tps = ([\d.]+)", done.stdout)[1])
    return Figures(requests, rate, statistics.median(latencies), percentile(latencies, 99))


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]
