"""A Prosody with its own invite modules, filled with every kind of invite that its tools can make."""

import json
import re
import subprocess
from dataclasses import dataclass, field

from . import chat
from .loop import run
from .prosody import IS_13, OUR_MODULE
from .site import PASSWORD, Site

STOCK_MODULES = ["http", "invites_api", "invites_page"]
ODD_NAMES = ("anna+work", "under_score", "-dash", "bücher")
TOKEN = re.compile(r"(?:preauth=|invites_page\?|Result: )([\w-]{24})")


@dataclass
class Moving:
    """`site` is stopped but for Prosody, which runs with its own modules until `move`."""

    site: Site
    tokens: dict = field(default_factory=dict)
    keys: list = field(default_factory=list)

    @classmethod
    def start(cls, directory, **options):
        site = Site(directory, options=options)
        site.prosody.plugin_paths.remove(OUR_MODULE)
        (site.prosody.directory / "data").mkdir()  # where SQLite makes no folder itself
        site.prosody.modules += STOCK_MODULES
        site.prosody.start()
        return cls(site)

    def move(self):
        """What an operator does: our module instead of Prosody's own ones, and what the import advised."""
        prosody = self.site.prosody
        prosody.stop()
        prosody.plugin_paths.insert(0, OUR_MODULE)
        prosody.modules = [module for module in prosody.modules if module not in STOCK_MODULES]
        config = self.site.invited.config
        host = '[hosts."localhost"]\n'
        config.write_text(config.read_text().replace(host, f'{host}usernames = "any"\n'))

    def make_invites(self):
        prosody = self.site.prosody
        for name in ("nora", "theo", "boss"):
            prosody.add_account(name, PASSWORD)
        create = "> prosody.hosts.localhost.modules.invites."
        for name in ("plain", "expired", "minus", "underscore"):
            self.keep(name, text=prosody.stock_invite())
        self.keep("web", "shell", "invite", "create_account", "localhost")
        for name in ODD_NAMES:
            self.keep(name, "shell", f'invite:create_account("{name}@localhost")')
        if IS_13:
            with_group = 'create_account(nil, { roles = { "prosody:admin" }, groups = { "a" } }).token'
            self.keep("admin", "shell", create + with_group)
            self.keep("reset", "shell", "invite", "create_reset", "theo@localhost")
            with_account = "--allow-registration"
        else:
            self.keep("admin", "mod_invites", "generate", "localhost", "--admin", "--group", "a")
            self.keep("reset", "mod_invites", "generate", "localhost", "--reset", "theo")
            self.keep("the word false", "shell", "invite", "create_contact", "nora@localhost", "false")
            with_account = "true"
        self.keep("contact with account", "shell", "invite", "create_contact", "nora@localhost", with_account)
        self.keep("contact only", "shell", f'{create}create_contact("nora", false).token')
        self.keep("reusable", "shell", f"{create}create_group({{}}, {{ roles = {{}} }}, 3600).token")
        self.keep("ad hoc", text=run(self._ask_for_invite("nora")).fields["uri"])
        for name in ("Müller & Söhne", ""):
            done = prosody.control("mod_invites_api", "create", "localhost", *filter(None, [name]))
            self.keys.append(done.stdout.strip())

    def keep(self, name, *command, text=None):
        if text is None:
            done = self.site.prosody.control(*command)
            assert done.returncode == 0, done.stdout + done.stderr
            text = done.stdout
        self.tokens[name] = TOKEN.search(text)[1]

    async def _ask_for_invite(self, name):
        async with chat.signed_in(self.site.prosody, name, PASSWORD) as client:
            return await client.command("urn:xmpp:invite#invite")

    def rename(self, name, token):
        """Gives an invite another token, as chance might have."""
        self._edit(lambda text: text.replace(self.tokens[name], token))
        self.tokens[name] = token

    def expire(self, name):
        """Lets an invite have expired an hour ago."""
        self._edit(lambda text: _with_expiry(text, self.tokens[name]))

    @property
    def invite_file(self):
        return self.site.prosody.directory / "data" / "localhost" / "invite_token.dat"

    @property
    def database(self):
        return self.site.prosody.directory / "data" / "prosody.sqlite"

    def rows(self):
        """All rows of Prosody's table, with their `rowid`."""
        command = ["sqlite3", "-json", self.database, "select rowid, * from prosody"]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def _edit(self, change):
        if self.invite_file.exists():
            self.invite_file.write_text(change(self.invite_file.read_text()))
            return
        for row in self.rows():
            if row["store"] != "invite_token" or row["user"]:
                continue
            key, value = change(row["key"]), change(f"{row['key']}\n{row['value']}").partition("\n")[2]
            update = f"update prosody set key = {quoted(key)}, value = {quoted(value)} where rowid = {row['rowid']}"
            subprocess.run(["sqlite3", self.database, update], check=True)

    def bring_over(self, *options):
        config = str(self.site.prosody.config)
        done = self.site.invited.run("import", "prosody", "--prosody-config", config, "--json", *options, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


def _with_expiry(text, token):
    if f'"{token}"] = {{' in text:
        start = text.index(f'"{token}"] = {{')
        end = text.index("\n\t};", start)
        changed = re.sub(r"(\"expires\"\] = )(\d+)", _hour_ago, text[start:end])
        return text[:start] + changed + text[end:]
    if text.startswith(f"{token}\n"):
        return re.sub(r"(\"expires\":)(\d+)", _hour_ago, text)
    return text


def _hour_ago(match):
    return f"{match[1]}{int(match[2]) - 7 * 86_400 - 3_600}"


def quoted(text):
    """A text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"
