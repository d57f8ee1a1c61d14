"""HTTP: pooled `requests` sessions, one for each thread, and an `Answer` that is only data.

Status codes are not judged here; each vendor's room does that. A connection that can't be made, breaks or
times out becomes `TransientError`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from mailsync.errors import Evidence, Scope, TransientError
from mailsync.telemetry import asked

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 100.0
"""Seconds. Dataverse may take long for a write with plug-ins behind it; the function's own limit is ten minutes."""
PIECE = 64 * 1024
"""Bytes of a streamed answer that are handed on at once."""
LONGEST_RETRY_AFTER = 6 * 3600.0
"""Seconds: the longest Retry-After that is believed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; header names compare without case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """Seconds until what Retry-After names, in seconds or as a date; none where it names neither."""
        named = self.headers.get("Retry-After", "")
        try:
            seconds = float(named)
        except ValueError:
            until = _moment(named)
            if until is None:
                return None
            # by the clock of who named it, where it tells its time
            seconds = until - (_moment(self.headers.get("Date", "")) or time.time())
        return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


@dataclass(frozen=True, slots=True)
class Streamed:
    """The beginning of an answer, and its body piece by piece."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]

    def whole(self, most: int) -> Answer:
        """What there is up to so many bytes, as a plain answer: of a refusal."""
        body = b""
        for piece in self.pieces:
            body += piece
            if len(body) >= most:
                break
        return Answer(self.status, self.headers, body[:most])


def _moment(text: str) -> float | None:
    """An HTTP date in unix seconds; it is always in GMT, whether it says so or not."""
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def pooled_session(*, verify: bool | str = True, pool: int = 4) -> requests.Session:
    """A session that keeps its connections, refuses cookies and reads no environment for each request.

    Cookies are refused because Dataverse binds a client that returns its affinity cookie to one web server,
    and service protection limits count for each server (Microsoft's page on parallel requests, read 2026-11).
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = verify
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=pool)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class Transport:
    """Sends requests to one vendor over connections that are kept open."""

    def __init__(
        self, vendor: str, *, base_url: str, verify: bool | str = True, read_timeout: float = READ_TIMEOUT
    ) -> None:
        self.vendor = vendor
        self._verify = verify
        self._timeout = (CONNECT_TIMEOUT, read_timeout)
        self._proxies = get_environ_proxies(base_url)
        self._local = threading.local()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, sent again once if its kept connection turned out to be dead.

        Every call of this product is idempotent (reads, and writes under ids we chose), so sending again is safe.
        Raises TransientError when there is no answer.
        """
        with asked(self.vendor, method) as request:
            for last in (False, True):
                # streamed, so that an answer that can't be read to its end is closed and not left to the collector
                try:
                    with self._begun(method, url, headers=headers, body=body, params=params) as got:
                        answer = Answer(status=got.status_code, headers=got.headers, body=got.content)
                        request.status = str(answer.status)
                        return answer
                except requests.ConnectionError as error:
                    if last or isinstance(error, requests.Timeout):
                        raise self._no_answer(error) from error
                except (requests.RequestException, ValueError) as error:  # ValueError: of a redirect to no URL at all
                    raise self._no_answer(error) from error
        raise AssertionError("unreachable")  # the loop returns or raises

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
    ) -> Iterator[Streamed]:
        """One request whose answer is read piece by piece; leaving early closes the connection.

        Raises TransientError when there is no answer, and while it is read when it breaks off.
        """
        with asked(self.vendor, method) as request:
            try:
                try:
                    got = self._begun(method, url, headers=headers, body=None, params=params)
                except requests.ConnectionError as error:
                    if isinstance(error, requests.Timeout):
                        raise
                    got = self._begun(method, url, headers=headers, body=None, params=params)
            except (requests.RequestException, ValueError) as error:
                raise self._no_answer(error) from error
            with got:
                request.status = str(got.status_code)
                yield Streamed(got.status_code, got.headers, self._pieces(got))

    def _pieces(self, got: requests.Response) -> Iterator[bytes]:
        try:
            yield from got.iter_content(PIECE)
        except requests.RequestException as error:
            raise self._no_answer(error) from error

    def _begun(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        params: Mapping[str, str] | None,
    ) -> requests.Response:
        return self._session().request(
            method,
            url,
            headers=dict(headers),
            data=body,
            params=params,
            timeout=self._timeout,
            allow_redirects=False,
            stream=True,
        )

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = pooled_session(verify=self._verify)
            session.proxies.update(self._proxies)
            self._local.session = session
        return session

    def _no_answer(self, error: Exception) -> TransientError:
        reason = "timed_out" if isinstance(error, requests.Timeout) else "unreachable"
        return TransientError(
            f"{self.vendor} gave no answer ({type(error).__name__}); the item is tried again later",
            reason=f"{self.vendor}_{reason}",
            scope=Scope.ORGANISATION,
            evidence=Evidence(vendor=self.vendor),
        )
