"""A browser without a screen: opens the registration form and sends it filled in."""

from dataclasses import dataclass
from html.parser import HTMLParser

import httpx


class Form(HTMLParser):
    """The address and the fields of the form on a page, if there is one."""

    def __init__(self, page):
        super().__init__()
        self.action = None
        self.fields = {}
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.action = attributes["action"]
        elif tag == "input" and "name" in attributes:
            self.fields[attributes["name"]] = attributes.get("value", "")

    @property
    def asks_for_account(self):
        return {"user", "password"} <= self.fields.keys()


@dataclass(frozen=True)
class Page:
    """What the person sees; `accepted` says whether it is what the person hoped for."""

    accepted: bool
    status: int
    text: str
    headers: httpx.Headers

    @property
    def may_be_sent_again(self):
        return Form(self.text).asks_for_account

    def __str__(self):
        return f"{self.status} {self.text}"


class WebForm:
    """A visit to the registration page. Speaks like `Stream`: first `present`, then `register`."""

    def __init__(self, invited):
        self._browser = httpx.AsyncClient(base_url=invited.url, follow_redirects=True, timeout=60)
        self._address = None
        self._form = None

    @classmethod
    async def open(cls, invited):
        return cls(invited)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def present(self, token):
        """Opens the form of an invite."""
        answer = await self._browser.get("/register", params={"t": token})
        self._show(answer)
        return Page(self._form.asks_for_account, answer.status_code, answer.text, answer.headers)

    async def register(self, name, password):
        """Sends the form that was shown last, with every hidden field as it came."""
        secrets = {field: password for field in self._form.fields if field.startswith("password")}
        answer = await self._browser.post(
            self._address.join(self._form.action),
            data={**self._form.fields, **secrets, "user": name},
        )
        done = answer.status_code == 200 and not Form(answer.text).asks_for_account
        if Form(answer.text).asks_for_account:
            self._show(answer)
        return Page(done, answer.status_code, answer.text, answer.headers)

    async def close(self):
        await self._browser.aclose()

    def _show(self, answer):
        self._address = answer.url
        self._form = Form(answer.text)
