"""What the tests of the stand-in for Nylas are put together from: its time, a plain client, and mail to deliver."""

from __future__ import annotations

import base64
from typing import Any

import requests

from sandbox.mail import Mail, Person
from sandbox.nylas import NylasStandIn

KEY = "nyk_v0_sandbox"
NOON = 1_790_078_400  # 2026-09-22 12:00:00 UTC
DAY = 86_400

ANN = Person("Ann", "Ann@customer.example")
BEN = Person(None, "ben@customer.example")
IDA = Person("Ida", "ida@fjordlight.example")


class Clock:
    def __init__(self) -> None:
        self.now = float(NOON)

    def __call__(self) -> float:
        return self.now


class Client:
    """A plain HTTP client of the stand-in."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url
        self.session = session
        self.key = KEY

    def get(self, path: str, **params: object) -> requests.Response:
        params = {name.rstrip("_"): value for name, value in params.items()}
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.session.get(self.url + path, params=params, headers=headers, timeout=5)

    def data(self, path: str, **params: object) -> Any:
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def refused(self, path: str, **params: object) -> tuple[int, str]:
        answer = self.get(path, **params)
        error = answer.json()["error"]
        assert answer.json()["request_id"]
        assert error["message"]
        return answer.status_code, error["type"]

    def raw(self, path: str) -> bytes:
        """The raw MIME of the message at this path."""
        return self.raw_mime(self.data(path, fields="raw_mime"))

    @staticmethod
    def raw_mime(shown: dict[str, str]) -> bytes:
        """The bytes of a message whose raw MIME was asked for."""
        return base64.urlsafe_b64decode(shown["raw_mime"])


def mail(number: int = 0, **fields: Any) -> Mail:
    given = {"subject": f"Mail {number}", "sender": ANN, "to": (IDA,), "date": NOON + number}
    return Mail(**{**given, "message_id": f"<{number}@customer.example>", "body": "<p>Hello</p>", **fields})


def fill(nylas: NylasStandIn, grant: str, count: int) -> list[str]:
    return [nylas.deliver(grant, mail(number), notify=False) for number in range(count)]
