"""The queues of a storage account, over the service's REST API.

The SDK's pipeline takes more CPU for each message than all the rest of this host. The real host has a process of its
own for that; here the app under measurement would seem to take it.
"""

from __future__ import annotations

import base64
import email.utils
import hmac
import re
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import urllib3

from sandbox.host.errors import HostError, StorageError

_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
_POISON = "-poison"


def checked_name(name: str) -> str:
    """The queue's name in lower case; HostError when it cannot be one."""
    name = name.lower()
    if _NAME.fullmatch(name) is None:
        raise HostError(f"'{name}' is not a queue's name")
    return name


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the queue service gives it."""

    id: str
    text: str
    dequeue_count: int
    receipt: str
    inserted: str
    expires: str
    next_visible: str

    @classmethod
    def of(cls, element: ET.Element) -> Self:
        """Read one element of the service's answer."""
        values = {child.tag: child.text or "" for child in element}
        return cls(
            id=values["MessageId"],
            text=values["MessageText"],
            dequeue_count=int(values["DequeueCount"]),
            receipt=values["PopReceipt"],
            inserted=values["InsertionTime"],
            expires=values["ExpirationTime"],
            next_visible=values["TimeNextVisible"],
        )

    def metadata(self) -> dict[str, object]:
        """What the host knows of it besides its body."""
        return {
            "id": self.id,
            "dequeuecount": self.dequeue_count,
            "expirationtime": email.utils.parsedate_to_datetime(self.expires),
            "insertiontime": email.utils.parsedate_to_datetime(self.inserted),
            "nextvisibletime": email.utils.parsedate_to_datetime(self.next_visible),
            "popreceipt": self.receipt,
        }


class QueueService:
    """One storage account."""

    def __init__(self, connection: str, pool_size: int) -> None:
        parts = dict(part.split("=", 1) for part in connection.strip("; ").split(";"))
        if not parts.get("AccountName") or not parts.get("AccountKey"):
            raise HostError("this host needs a connection string with AccountName and AccountKey")
        self._account = parts["AccountName"]
        self._key = base64.b64decode(parts["AccountKey"])
        suffix = parts.get("EndpointSuffix", "core.windows.net")
        endpoint = parts.get("QueueEndpoint") or f"https://{self._account}.queue.{suffix}"
        self._path = urllib.parse.urlsplit(endpoint).path.rstrip("/")
        self._pool = urllib3.connection_from_url(
            endpoint,
            maxsize=pool_size,
            timeout=urllib3.Timeout(connect=5, read=30),
            retries=urllib3.Retry(
                2,
                allowed_methods=None,
                backoff_factor=0.5,
                raise_on_status=False,
                redirect=0,
                status_forcelist=(500, 502, 503, 504),
            ),
        )
        self._queues: dict[str, Queue] = {}

    def queue(self, name: str) -> Queue:
        """The queue of this name, always the same object."""
        return self._queues.setdefault(name, Queue(self, name))

    def call(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b""
    ) -> urllib3.BaseHTTPResponse:
        """Ask the service, signed with the account's key; StorageError when it refuses or does not answer."""
        path, query = self._path + path, query or {}
        headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
        own = [f"{name}:{value}" for name, value in headers.items()]
        kind, length = ("application/xml", str(len(body))) if body else ("", "")
        resource = [f"/{self._account}{path}", *(f"{name}:{query[name]}" for name in sorted(query))]
        signed = "\n".join([method, "", "", length, "", kind, *[""] * 6, *own, *resource])
        digest = base64.b64encode(hmac.digest(self._key, signed.encode(), "sha256")).decode()
        headers |= {"Authorization": f"SharedKey {self._account}:{digest}"} | ({"Content-Type": kind} if kind else {})
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        try:
            answer = self._pool.request(method, target, body=body or None, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise StorageError(0, f"the queue service does not answer: {type(error).__name__}") from error
        if answer.status >= 400:
            raise StorageError(answer.status, answer.headers.get("x-ms-error-code", answer.reason or ""))
        return answer

    def close(self) -> None:
        """Close the pooled connections."""
        self._pool.close()


class Queue:
    """One queue of an account."""

    def __init__(self, service: QueueService, name: str) -> None:
        self.name = name
        self.wake = threading.Event()
        """Set when something was put into this queue here: its listener need not wait for its next poll."""
        self._service = service
        self._messages = f"/{name}/messages"

    @property
    def poison(self) -> Queue | None:
        """Where messages go that cannot be worked on.

        A poison queue has none of its own, nor has a queue whose name leaves no room for the ending.
        """
        room = not self.name.endswith(_POISON) and len(self.name) <= 63 - len(_POISON)
        return self._service.queue(f"{self.name}{_POISON}") if room else None

    def receive(self, count: int, visibility: float) -> list[Message]:
        """Take up to so many messages and hide them."""
        query = {"numofmessages": str(count), "visibilitytimeout": str(int(visibility))}
        answer = self._service.call("GET", self._messages, query)
        try:
            return [Message.of(element) for element in ET.fromstring(answer.data)]
        except (ET.ParseError, KeyError, ValueError) as error:
            raise StorageError(0, f"the queue service's answer cannot be read: {error}") from error

    def put(self, text: str) -> None:
        """Add a message; the queue is made when it is missing."""
        body = f"<QueueMessage><MessageText>{escape(text)}</MessageText></QueueMessage>".encode()
        try:
            self._service.call("POST", self._messages, body=body)
        except StorageError as error:
            if error.status != 404:
                raise
            self._service.call("PUT", f"/{self.name}")
            self._service.call("POST", self._messages, body=body)
        self.wake.set()

    def hide(self, message: Message, receipt: str, seconds: float) -> str:
        """Hide a message for so long from now on; gives its new receipt."""
        query = {"popreceipt": receipt, "visibilitytimeout": str(int(seconds))}
        answer = self._service.call("PUT", f"{self._messages}/{message.id}", query)
        return str(answer.headers["x-ms-popreceipt"])

    def delete(self, message: Message, receipt: str) -> None:
        """Delete a message; one that is gone already is no error."""
        try:
            self._service.call("DELETE", f"{self._messages}/{message.id}", {"popreceipt": receipt})
        except StorageError as error:
            if error.status != 404:
                raise
