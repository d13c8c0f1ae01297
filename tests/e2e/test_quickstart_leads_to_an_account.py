"""What a newcomer does: one command, the line that it prints, a page in a browser, a chat."""

import os
import re
import shlex
import subprocess
from types import SimpleNamespace

import pytest

from harness import chat
from harness.browser import create_account_in, visit
from harness.invited import BINARY
from harness.loop import run
from harness.process import Server
from harness.prosody import REPOSITORY
from harness.site import PASSWORD
from harness.waiting import free_port, wait_until

SCRIPT = REPOSITORY / "scripts" / "quickstart"


@pytest.fixture
def quickstart(tmp_path):
    """The running script, and what it has printed."""
    output = tmp_path / "quickstart.out"
    command = [str(SCRIPT), "--data", str(tmp_path / "data")]
    for use in ("http", "xmpp", "bridge"):
        command += [f"--{use}-port", str(free_port())]
    server = Server("quickstart", command, output, {**os.environ, "INVITED_BIN": str(BINARY)})
    server.spawn()
    try:
        yield wait_until(lambda: server.assert_running() and _told(output.read_text()), "quickstart is ready", 120)
    finally:
        server.stop()


def test_the_curl_line_of_quickstart_leads_to_an_account_that_chats(quickstart, browser):
    people = [("ada", PASSWORD), ("bob", PASSWORD)]
    for name, password in people:
        with visit(browser) as page:
            assert page.goto(_location(quickstart.curl)).status == 200
            create_account_in(page, name, password)
            page.get_by_text(f"{name}@localhost").first.wait_for()
    run(chat.exchange_a_message(quickstart, *people))


def _location(line):
    """Runs the printed line as a shell would, and reads the answer's head."""
    command = [*shlex.split(line), "--silent", "--output", "/dev/null", "--dump-header", "-"]
    head = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    assert re.match(r"HTTP/1.1 201 ", head), head
    return re.search(r"(?im)^location: (\S+)", head)[1]


def _told(text):
    """The curl line, the port of the chat server and the certificate that it shows, once all are printed."""
    curl = re.search(r"^\s*(?:\$ )?(curl .+)$", text, re.MULTILINE)
    port = re.search(r"(?i)^.*xmpp.*?(?:localhost|127\.0\.0\.1):(\d+)", text, re.MULTILINE)
    authority = re.search(r"(/\S+\.(?:pem|crt))\b", text)
    if not (curl and port and authority):
        return None
    return SimpleNamespace(
        curl=curl[1],
        port=int(port[1]),
        certificates=SimpleNamespace(authority=authority[1]),
    )
