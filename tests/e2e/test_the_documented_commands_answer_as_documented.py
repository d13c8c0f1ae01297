"""The commands of mod_invites_api's documentation, word for word, and what the document shows for them."""

import os
import subprocess

import pytest

from harness.invited import BINARY
from harness.prosody import REPOSITORY
from harness.waiting import free_port


@pytest.mark.parametrize("served_by", ["prosody", "invited"])
def test_the_transcript_of_the_document_holds(served_by):
    ports = [word for name in ("https", "http", "xmpp", "bridge") for word in (f"--{name}-port", str(free_port()))]
    done = subprocess.run(
        [REPOSITORY / "scripts" / "seed-transcript", "--served-by", served_by, *ports],
        env={**os.environ, "INVITED_BIN": str(BINARY)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("Everything as the document shows it.\n")
    assert done.stdout.count("< HTTP/1.1 201 Created") == 2
    assert done.stdout.count("< HTTP/1.1 303 See Other") == 1
