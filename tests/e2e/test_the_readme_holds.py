"""README.md, "Put it beside my Prosody" and "More commands": every command in it, in its order, on a machine with the
Prosody that Debian installs. The machine is this one, in namespaces of its own: what is written there is gone
afterwards, and its ports are nobody else's."""

import os
import re
import subprocess

import pytest

from harness.invited import BINARY
from harness.prosody import REPOSITORY

README = (REPOSITORY / "README.md").read_text()

ROOT = [] if os.getuid() == 0 else ["sudo", "-n"]
NAMESPACES = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]

MACHINE = """
set -eu
ip link set lo up
folder={folder}
cp -a /etc "$folder/etc"
mkdir -p "$folder"/{{local/bin,data,log,prosody}}
mount --bind "$folder/etc" /etc
mount --bind "$folder/local" /usr/local
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /var/log
mount -t tmpfs tmpfs /run
mkdir -p /var/lib/prosody /var/log/prosody /run/prosody
chown prosody: /var/lib/prosody /var/log/prosody /run/prosody
getent passwd invited >/dev/null && userdel invited
export PATH="/usr/local/bin:$PATH:/usr/sbin:/sbin"
unset INVITED_CONFIG
cp {binary} /usr/local/bin/invited

# What systemd does with the unit, as far as the README needs it.
cat >/usr/local/bin/systemctl <<'END'
#!/bin/sh
set -eu
[ "$*" = "enable --now invited" ] || {{ echo "what is $*?" >&2; exit 1; }}
unit=/etc/systemd/system/invited.service
user=$(sed -n 's/^User=//p' $unit)
# shellcheck disable=SC2046
setpriv --reuid="$user" --regid="$user" --init-groups --inh-caps=-all \
    $(sed -n 's/^ExecStart=//p' $unit) </dev/null >>{folder}/invited.log 2>&1 &
for _ in $(seq 300); do curl -fs http://127.0.0.1:5282/readyz >/dev/null && exit 0; sleep 0.1; done
cat {folder}/invited.log >&2
exit 1
END
chmod +x /usr/local/bin/systemctl

# Somebody's Prosody.
chown -R root:prosody /etc/prosody
chmod 750 /etc/prosody/certs
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=example.com \
    -addext subjectAltName=DNS:example.com -addext basicConstraints=critical,CA:FALSE \
    -keyout /etc/prosody/certs/example.com.key -out /etc/prosody/certs/example.com.crt 2>/dev/null
chown root:prosody /etc/prosody/certs/*
chmod 640 /etc/prosody/certs/*
printf 'VirtualHost "localhost"\\nVirtualHost "example.com"\\n' >"$folder/hosts"
sed '/^VirtualHost/,$d; /^plugin_paths/d' /etc/prosody/prosody.cfg.lua >"$folder/stock"
cat "$folder/stock" "$folder/hosts" >/etc/prosody/prosody.cfg.lua
wait_for_doctor() {{
    for _ in $(seq 60); do
        invited doctor >"$folder/doctor" 2>&1 && return
        sleep 0.5
    done
    cat "$folder"/doctor "$folder"/*.log "$folder/prosody.out" /var/log/prosody/*
    return 1
}}
start_prosody() {{
    setpriv --reuid=prosody --regid=prosody --init-groups prosody -F </dev/null >>"$folder/prosody.out" 2>&1 &
}}
cd {repository}
{walk}
"""


def _between(start, end):
    return README[README.index(start) : README.index(end)]


def _blocks(text, language):
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"(?m)^   ", "", block) for block in blocks]


def _commands(text):
    """Lines of indented blocks, without what is said about them to the right."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines = re.findall(r"(?m)^(?: {4}| {7})(?=[a-z])(\S.*)$", text)
    return [re.split(r" {3,}", line)[0].strip() for line in lines]


def _as_the_daemons_user(line):
    command = f"runuser -u invited -- {line.replace('TOKEN', '$token').replace('/backups/', '/var/lib/backups/')}"
    if "invite reset theo" in line:
        return f"prosodyctl register theo example.com correct-horse\n{command}"
    if "user show" in line:
        return f"{command} 2>&1 | grep nora"  # nobody invited her here
    return command


@pytest.mark.parametrize("command", ["mkdir -p /etc/invited", "usermod -aG prosody invited", "invited plugin install"])
def test_the_readme_names_what_has_to_be_done(command):
    assert f"`{command}`" in README


def test_every_command_of_the_readme_works_on_a_stock_prosody(tmp_path):
    steps = _between("## Put it beside my Prosody", "## More commands")
    configuration = _blocks(steps, "toml")[0].replace("# ca_file", "ca_file")
    lua = _blocks(steps, "lua")[0]
    setting_up = _commands(steps)
    assert len(setting_up) >= 6, setting_up
    importing = [line for line in setting_up if line.startswith("invited import")]
    more = _commands(_between("## More commands", "## Read on"))
    assert len(more) >= 8, more
    walk = [
        *importing,
        "mkdir -p /etc/invited",
        f"cat >/etc/invited/invited.toml <<'END'\n{configuration}END",
        "install -m 644 /etc/prosody/certs/example.com.crt /etc/invited/",
        "invited config example >/dev/null",
        "invited config check",
        *(line for line in setting_up if line not in importing),
        "invited plugin install",
        f"cat >>$folder/stock <<'END'\n{lua}END",
        'cat "$folder/stock" "$folder/hosts" >/etc/prosody/prosody.cfg.lua',
        "start_prosody",
        "wait_for_doctor",
        "invited invite create example.com --qr",
        "runuser -u invited -- invited key create example.com 'My test key'",
        "runuser -u invited -- invited invite create example.com | tee $folder/link",
        "token=$(sed 's/.*?//' $folder/link)",
        "install -d -o invited /var/lib/backups",
        *map(_as_the_daemons_user, more),
        "test -s /var/lib/backups/invited.sqlite",
        "! grep -r error /var/log/prosody/",
        "echo 'The README holds.'",
    ]
    script = MACHINE.format(folder=tmp_path, binary=BINARY, repository=REPOSITORY, walk="\n".join(walk))
    done = subprocess.run(
        [*ROOT, *NAMESPACES, "bash", "-c", script], capture_output=True, text=True, timeout=180, errors="replace"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("The README holds.\n"), done.stdout + done.stderr
