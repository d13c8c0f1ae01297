"""Clients that make invites as fast as they are answered."""

import http.client
import threading


def make(invited, key, count, clients=8):
    """Tokens that were answered with 201: `count` and a few more, or as many as there were until the daemon ended."""
    made = []

    def client():
        connection = http.client.HTTPConnection("127.0.0.1", invited.port, timeout=15)
        while len(made) < count:
            try:
                connection.request("POST", "/invites_api", headers={"Authorization": f"Bearer {key}"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                return
            if answer.status != 201:
                return
            made.append(answer.headers["location"].partition("?")[2])

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made
