"""What the OpenAPI document promises holds for whatever schemathesis makes up: every check of it is on."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from harness.certificates import Certificates
from harness.invited import Invited
from harness.waiting import free_port

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(scope="module")
def invited(tmp_path_factory):
    """No XMPP server is there: nothing of the API asks one."""
    folder = tmp_path_factory.mktemp("api")
    certificates = Certificates(folder / "certificates")
    invited = Invited(
        folder / "invited", xmpp_port=free_port(), authority=certificates.authority, log_level="info"
    )
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
            "--workers=2",
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
