"""What the OpenAPI document promises holds for whatever schemathesis makes up: every check of it is on."""

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from harness.certificates import Certificates
from harness.invited import Invited
from harness.waiting import free_port

pytestmark = pytest.mark.once

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(scope="module")
def invited(tmp_path_factory):
    """No XMPP server is there: nothing of the API asks one."""
    folder = tmp_path_factory.mktemp("api")
    certificates = Certificates(folder / "certificates")
    invited = Invited(folder / "invited", xmpp_port=free_port(), authority=certificates.authority, log_level="info")
    invited.start()
    yield invited
    invited.stop()


def test_no_request_breaks_the_contract(invited, tmp_path):
    key = invited.key("schemathesis", "--scope", "admin")
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "--config-file",
            CONFIG,
            "run",
            f"{invited.url}/api/v1/openapi.json",
            "--header",
            f"Authorization: Bearer {key}",
            "--checks=all",
            "--max-examples=40",
            "--generation-database=none",
            # COMPAT: CPython 3.11 counts the depth of syntax trees for all threads together, and fails by that.
            "--workers=1",
            "--continue-on-failure",
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout[-30_000:] + done.stderr
    # Otherwise most of the answers were 401.
    answer = httpx.get(f"{invited.url}/api/v1/keys", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, "the key survived"


def test_many_invites_fit_into_one_request_and_only_there(invited):
    key = invited.key("bulk")
    headers = {"Authorization": f"Bearer {key}"}
    large = {"invites": [{"note": "x" * 900} for _ in range(5000)]}
    with httpx.Client(base_url=f"{invited.url}/api/v1", headers=headers, timeout=60) as api:
        answer = api.post("/invites/bulk", json=large)
        assert answer.status_code == 201, answer.text[:1000]
        assert len(answer.json()["invites"]) == 5000

        answer = api.post("/invites/bulk", content=b" " * 10_500_000, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        answer = api.post("/invites", json={"note": "x" * 70_000})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_large_body_is_not_read_for_a_bad_key(invited):
    """The answer comes though the body never does."""
    with socket.create_connection(("127.0.0.1", invited.port), timeout=10) as connection:
        connection.sendall(
            b"POST /api/v1/invites/bulk HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer AAAAAAAA/BBBB\r\nContent-Length: 10000000\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 401 ")
