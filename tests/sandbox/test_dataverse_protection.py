"""Service protection limits and delays of the Dataverse stand-in, over real sockets."""

from __future__ import annotations

import threading
import time

import pytest
import requests

from sandbox.dataverse import Protection
from tests.sandbox.test_dataverse import Organisation, refused


def test_too_many_requests_are_429_until_the_window_has_moved_on() -> None:
    with Organisation(protection=Protection(requests=3, window=0.3)) as org:
        left = [org.get("WhoAmI").headers["x-ms-ratelimit-burst-remaining-xrm-requests"] for _ in range(3)]
        assert left == ["2", "1", "0"]
        answer = org.get("WhoAmI")
        message = "Number of requests exceeded the limit of 3 over time window of 0.3 seconds."
        refused(answer, 429, "0x80072322", message)
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["x-ms-service-request-id"]
        time.sleep(0.35)
        assert org.get("WhoAmI").status_code == 200


def test_who_ignores_retry_after_waits_longer() -> None:
    with Organisation(protection=Protection(requests=2, window=100)) as org:
        for _ in range(2):
            org.get("WhoAmI")
        waits = [int(org.get("WhoAmI").headers["Retry-After"]) for _ in range(3)]
        assert all(99 <= wait <= 100 for wait in waits)
        assert org.dataverse.requests == 5


def test_too_much_execution_time_is_429() -> None:
    with Organisation(protection=Protection(execution_ms=20, window=60), delay=0.03) as org:
        assert org.get("WhoAmI").status_code == 200
        answer = org.get("WhoAmI")
        refused(
            answer, 429, "0x80072321", "Combined execution time of incoming requests exceeded limit of 20 milliseconds"
        )
        assert 55 <= int(answer.headers["Retry-After"]) <= 60
        assert answer.headers["x-ms-ratelimit-time-remaining-xrm-requests"] == "0.00"


def test_too_many_requests_at_once_are_429() -> None:
    with Organisation(protection=Protection(concurrency=2), delay=0.2) as org:
        answers: list[requests.Response] = []
        headers = {"Authorization": "Bearer good"}

        def ask() -> None:
            answers.append(requests.get(org.root + "WhoAmI", headers=headers, timeout=5))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429]
        refusal = next(answer for answer in answers if answer.status_code == 429)
        refused(refusal, 429, "0x80072326", "Number of concurrent requests exceeded the limit of 2.")
        assert org.get("WhoAmI").status_code == 200, "a place is free again"


def test_protection_can_be_lifted_and_set_again() -> None:
    with Organisation(protection=Protection(requests=1)) as org:
        assert [org.get("WhoAmI").status_code for _ in range(2)] == [200, 429]
        org.dataverse.protection = None
        assert org.get("WhoAmI").status_code == 200
        org.dataverse.protection = Protection(requests=1)
        assert [org.get("WhoAmI").status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("path", ["WhoAmI", "nothing"])
def test_every_answer_can_be_delayed(path: str) -> None:
    with Organisation(delay=0.05) as org:
        started = time.monotonic()
        org.get(path)
        assert time.monotonic() - started >= 0.05
