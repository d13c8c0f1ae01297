"""Clients that make and redeem invites until they are told to stop, and remember what they were answered.

A client makes an invite, redeems every other one of its own, and tries to redeem one that another client is
redeeming. When a node goes away, or does not know what became of a request, the client does what a good one
does behind a proxy: it asks another node, with the same holder and name as before.
"""

import itertools
import threading
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor

import httpx

from .waiting import wait_until

CLIENTS = 64
PAUSE = 0.2
"""Seconds before a client asks again that was told that something is away."""


class Load:
    """`nodes` are daemons on one database that share one key and one bridge secret.

    `made` are the tokens that were answered with 201, `redeemed` the reservations, by token, that were confirmed,
    `left` the tokens that nobody tried to redeem, `unexpected` the answers that nobody should get.
    """

    def __init__(self, nodes, key):
        self.made, self.left, self.unexpected = set(), set(), set()
        self.reserved, self.redeemed = defaultdict(set), defaultdict(set)
        self._nodes = nodes
        self._key = {"Authorization": f"Bearer {key}"}
        self._secret = {"Authorization": f"Bearer {nodes[0].secret_file.read_text().strip()}"}
        self._names = itertools.count()
        self._contested = deque(maxlen=CLIENTS)
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)

    def __enter__(self):
        self._work = [self._pool.submit(self._client, number) for number in range(CLIENTS)]
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._pool.shutdown()
        for work in self._work:
            work.result()

    def wait_for(self, count, what, seconds):
        """Returns when so many more invites have been made, and so many redeemed."""
        made, redeemed = len(self.made) + count, len(self.redeemed) + count
        wait_until(lambda: len(self.made) >= made and len(self.redeemed) >= redeemed, what, seconds)

    def _client(self, number):
        with httpx.Client(timeout=40) as http:
            at = number
            for turn in itertools.count():
                token, at = self._make(http, at)
                if token is None:
                    return
                if turn % 2:
                    self.left.add(token)
                    continue
                self._contested.append(token)
                at = self._redeem(http, at, token)
                at = self._redeem(http, at, self._contested[-1])

    def _make(self, http, at):
        answer, at = self._ask(http, at, lambda node: (f"{node.url}/invites_api", self._key, None))
        if answer is None:
            return None, at
        token = answer.headers["location"].partition("?")[2]
        self.made.add(token)
        return token, at

    def _redeem(self, http, at, token):
        name = f"user{next(self._names)}"
        attempt = {"token": token, "username": name, "holder": name}
        answer, at = self._question(http, at, "reserve", attempt)
        if answer is None or answer.status_code != 200:
            return at
        reservation = answer.json()["reservation"]
        self.reserved[token].add(reservation)
        answer, at = self._question(http, at, "confirm", {"reservation": reservation})
        if answer is not None:
            self.redeemed[token].add(reservation)
        return at

    def _question(self, http, at, operation, fields):
        body = {"host": "localhost", **fields}
        return self._ask(http, at, lambda node: (f"{node.bridge_url}/bridge/v1/{operation}", self._secret, body))

    def _ask(self, http, at, request):
        """The answer, if one came before the end, and which node gave it."""
        while not self._ended.is_set():
            url, headers, body = request(self._nodes[at % len(self._nodes)])
            try:
                answer = http.post(url, headers=headers, json=body)
            except httpx.TransportError:
                at += 1
                self._ended.wait(PAUSE)
                continue
            if answer.status_code == 503:
                self._ended.wait(PAUSE)
                continue
            # Used up, or in use: another client was quicker.
            if answer.status_code not in (200, 201, 409, 410):
                self.unexpected.add((answer.status_code, answer.text))
            return answer, at
        return None, at
