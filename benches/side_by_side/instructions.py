"""Counts the instructions of one request after another under valgrind: none of the noise of a shared machine.

The kernel's are not among them, nor those of the client. SHA-256 counts for more than it costs: valgrind knows no
instruction for it.
"""

import argparse
import http.client
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from servers import Nothing, sqlite_desk

from harness.waiting import accepts, wait_until

WARM_UP = 20
NOISE = re.compile(
    r"library/|tokio-1|tower-|futures-util|pthread|clone|start_thread|thread_start|FnOnce|__rust_begin|future::Future>::poll"
)
"""What every request goes through and nobody here can change."""


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/profile", description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["create", "page", "nothing"], help="a create, a landing page, the bare stack")
    parser.add_argument("--requests", type=int, default=500, help="how many are counted (500)")
    parser.add_argument("--lines", type=int, default=60, help="functions that are shown (60)")
    return parser.parse_args()


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="invited-profile-") as folder:
        counted = count(options, Path(folder))
    print(f"Instructions of one {options.what}, by function, with what it calls (mean of {options.requests}):\n")
    print("\n".join(counted[: options.lines]))


def count(options, folder):
    out = folder / "callgrind.out"
    if options.what == "nothing":
        server = Nothing(folder)
    else:
        desk = sqlite_desk(folder / "desk")
        desk.put_back()
        server = desk.server
    method, path, headers = question(options.what, server)
    server.argv = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *server.argv]
    server.spawn()
    try:
        wait_until(lambda: server.assert_running() and accepts(server.port), "it listens", seconds=60)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

        def ask(times):
            for _ in range(times):
                connection.request(method, path, headers=headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status in (200, 201), answer.status

        ask(WARM_UP)
        control("--zero", server)
        ask(options.requests)
        control("--dump", server)
    finally:
        server.stop()
    return list(table(Path(f"{out}.1"), options.requests))


def question(what, server):
    if what == "page":
        return "GET", "/" + server.landing_page.split("/", 3)[3], {}
    key = getattr(server, "api_key", "")
    return "POST", "/invites_api", {"Authorization": f"Bearer {key}"}


def control(order, server):
    subprocess.run(["callgrind_control", order, str(server.process.pid)], check=True, capture_output=True)


def table(file, requests):
    shown = subprocess.run(
        ["callgrind_annotate", "--inclusive=yes", "--threshold=100", file], check=True, capture_output=True, text=True
    ).stdout
    seen = set()  # a function that was inlined here and there comes several times
    for line in shown.splitlines():
        if found := re.match(r" *([\d,]+) \(.*?%\)  (\S.*?):(.*?)(?: \[.*\])?$", line):
            count, where, function = int(found[1].replace(",", "")), found[2], found[3]
            where = re.sub(
                r".*/registry/src/[^/]*/|.*/rustc/[^/]*/|.*/(?=(?:src|examples)/)|\./.*/", "", where, count=1
            )
            if count >= requests * 100 and not NOISE.search(where + function) and function not in seen:
                seen.add(function)
                yield f"{count / requests:9,.0f}  {function[:100]}  ({where})"


if __name__ == "__main__":
    sys.exit(main())
