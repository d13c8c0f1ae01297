"""@xmpp/client as a second independent witness, in a process of its own."""

import json
import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).with_name("xmppjs.mjs")


def sign_in(server, name, password, token=None):
    """Registers first if there is a token. Returns the full address, or raises with what the client said."""
    job = {"port": server.port, "name": name, "password": password, "token": token}
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(server.certificates.authority)}
    done = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(job),
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
