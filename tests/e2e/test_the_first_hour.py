"""What an operator meets in the first hour: files that the daemon's user may not read, a proxy that is not believed, a
reload right after the start, words in another order, a narrow terminal."""

import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from harness.desk import Desk
from harness.invited import BINARY
from harness.waiting import wait_until

pytestmark = pytest.mark.once

NOBODY = 65534
IS_ROOT = os.getuid() == 0
AS_SOMEBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if IS_ROOT else []
"""Root may read everything, so the daemon runs as somebody else then."""


@pytest.fixture
def open_folder():
    """A folder that every user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="invited-first-hour-"))
    folder.chmod(0o755)
    yield folder
    for closed in folder.glob("*/certs"):
        closed.chmod(0o755)
    shutil.rmtree(folder)


def test_a_reload_right_after_ready_kills_nobody(tmp_path):
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(30)
        for number in range(5):
            desk = Desk(tmp_path / f"desk{number}")
            desk.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
            desk.spawn()
            try:
                assert b"READY=1" in supervisor.recv(4096)
                desk.process.send_signal(signal.SIGHUP)
                wait_until(lambda: "certificates were read again" in desk.output.read_text(), "they are read")  # noqa: B023
                assert desk.running
            finally:
                desk.stop()
            assert supervisor.recv(4096)  # STOPPING=1


@pytest.mark.parametrize("closed", ["the folder", "the key"])
@pytest.mark.parametrize("options", ["", "https_ports = [{port}]"])
def test_certificates_that_the_daemons_user_may_not_read_are_named(open_folder, closed, options):
    """As /etc/prosody/certs is closed to everybody but Prosody."""
    desk = Desk(open_folder / "desk")
    listen = options.format(port=desk.https_port)
    config = desk.config.read_text().replace(f"https_ports = [{desk.https_port}]", listen)
    desk.config.write_text(config)
    _give_data_to_somebody(desk)
    if closed == "the folder":
        desk.certs.chmod(0o000)
    else:
        files = sorted(desk.certs.rglob("*.key"))
        for file in files:
            file.chmod(0o000)
    place = desk.certs if closed == "the folder" else files[0]
    told = f"{place}: Permission denied"

    as_root = desk.run("config", "check")
    assert told in as_root.stdout + as_root.stderr
    if IS_ROOT:
        assert f"user {NOBODY}" in as_root.stdout, "root may read them, so it does not look as root"
    assert (as_root.returncode == 0) == (not options)
    assert told in desk.run("doctor").stdout
    desk.argv = [*AS_SOMEBODY, *desk.argv]
    desk.spawn()
    try:
        if options:
            assert desk.process.wait(30) == 2
        else:
            wait_until(lambda: desk.assert_running() and "listening for" in desk.output.read_text(), "it runs")
    finally:
        desk.stop()
    assert told in desk.output.read_text()


def test_an_authority_that_the_daemons_user_may_not_read_is_named(open_folder):
    authority = open_folder / "example.com.crt"
    desk = Desk(open_folder / "desk", a=f'xmpp = {{ address = "127.0.0.1:1", ca_file = "{authority}" }}')
    shutil.copy(desk.authority.authority, authority)
    authority.chmod(0o000)
    _give_data_to_somebody(desk)
    told = f"{authority}: Permission denied"
    assert told in desk.run("config", "check").stdout
    assert told in desk.run("doctor").stdout


def test_a_proxy_that_is_not_believed_is_named_once(tmp_path):
    with Desk(tmp_path / "desk", 'trusted_proxies = ["192.0.2.1"]\nhttps_ports = []') as desk:
        assert "trusted_proxies" not in desk.run("doctor").stdout
        for client in ("198.51.100.1", "198.51.100.2"):
            httpx.get(f"{desk.url}/", headers={"Host": "a.example", "X-Forwarded-For": client})
        lines = [line for line in desk.output.read_text().splitlines() if "is not in trusted_proxies" in line]
        assert len(lines) == 1 and "127.0.0.1 speaks for others" in lines[0]
        assert "not in trusted_proxies" in desk.run("doctor").stdout


def test_a_proxy_that_is_believed_and_a_client_without_one_are_not_named(tmp_path):
    with Desk(tmp_path / "desk", "https_ports = []") as desk:
        httpx.get(f"{desk.url}/", headers={"Host": "a.example", "X-Forwarded-For": "198.51.100.1"})
        httpx.get(f"{desk.url}/", headers={"Host": "a.example"})
        assert "trusted_proxies" not in desk.output.read_text() + desk.run("doctor").stdout


@pytest.mark.parametrize("option", [["--config", "{file}"], ["--config={file}"]])
@pytest.mark.parametrize(
    "words",
    [
        ["mod_invites_api", "create", "a.example", "My key"],
        ["mod_invites_api", "list", "a.example"],
        ["mod_invites", "generate", "a.example", "--group", "friends"],
        ["key", "create", "a.example", "My key"],
        ["key", "ls", "a.example"],
        ["invite", "ls", "a.example"],
    ],
)
def test_the_configuration_may_be_named_last(tmp_path, words, option):
    desk = Desk(tmp_path / "desk")
    option = [word.format(file=desk.config) for word in option]
    environment = {name: value for name, value in desk.environment.items() if name != "INVITED_CONFIG"}
    done = subprocess.run([BINARY, *words, *option], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_words_that_come_to_mind_do_what_they_say(tmp_path):
    desk = Desk(tmp_path / "desk")
    token = desk.output_of("invite", "create", "a.example").rpartition("?")[2]
    desk.output_of("invite", "delete", "a.example", token)
    assert "revoked" in desk.output_of("invite", "ls", "a.example")
    key = desk.output_of("key", "create", "a.example", "mine").partition("/")[0]
    assert desk.output_of("key", "ls", "a.example") == f"{key}\tmine"


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_list_keeps_to_the_width_of_the_terminal(tmp_path, width):
    desk = Desk(tmp_path / "desk")
    note = "for the people at the party who have not come before, and for those who have"
    desk.output_of("invite", "create", "a.example", "--username", "a-rather-long-name.of-somebody", "--note", note)
    desk.output_of("invite", "create", "a.example", "--max-uses", "1000", "--expires-in", "never")
    desk.output_of("key", "create", "a.example", note)
    for words in (["invite", "list"], ["key", "list"]):
        lines = _on_a_terminal(desk, width, *words, "a.example")
        assert len(lines) > 1
        assert all(len(line) <= width for line in lines), lines
        if words[0] == "invite":
            ids = [invite["id"] for invite in _invites(desk)]
            assert [line.split()[0] for line in lines if line.split()[0] in ids] == ids, "they can be copied"


def _give_data_to_somebody(desk):
    desk.data.mkdir()
    if IS_ROOT:
        os.chown(desk.data, NOBODY, NOBODY)
        for key in desk.certs.rglob("*.key"):
            key.chmod(0o644)


def _invites(desk):
    return json.loads(desk.output_of("invite", "list", "a.example", "--json"))


def _on_a_terminal(desk, width, *words):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    command = [str(BINARY), "--config", str(desk.config), *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=desk.environment) as process:
        os.close(theirs)
        told = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            told += part
        assert process.wait(30) == 0, told
    os.close(ours)
    return [line for line in told.decode().splitlines() if line.strip()]
