"""Examines a deployment: everything it hangs on, one finding each, with what to do about it.

Looking only; what is tried in storage is taken away again, and what is delivered to the app's own endpoint is of a type
that nobody uses. Ids are told, never an address. Works at a desk and inside the deployed app.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mailsync.doctor.dataverse import DataverseSide, examine_dataverse
from mailsync.doctor.erasure import ErasureSide, examine_erasure
from mailsync.doctor.findings import Finding, Findings, Result, good, looked
from mailsync.doctor.host import examine_host
from mailsync.doctor.nylas import NylasSide, examine_nylas
from mailsync.doctor.storage import examine_storage
from mailsync.storage.probe import Probe
from mailsync.windows import moment
from mapping.policy import Policy

__all__ = ["Doctor", "Finding", "Result", "told", "worst"]


@dataclass(frozen=True, slots=True)
class Doctor:
    """Examines one deployment."""

    setting_problems: Callable[[], Mapping[str, str]]
    env: Mapping[str, str]
    host: Mapping[str, Any] | None
    """What host.json says; None where it can't be read."""
    probe: Callable[[], Probe]
    erasure: ErasureSide
    nylas: NylasSide
    dataverse: DataverseSide
    policy: Callable[[], Policy]
    clock: Callable[[], float]

    def examine(self) -> tuple[Finding, ...]:
        """Everything; a look that fails is a finding of its own and keeps no other from being made."""
        return tuple(self._findings())

    def _findings(self) -> Findings:
        yield from looked("settings", "settings", self._settings)
        yield from looked("policy", "policy", self._policy)
        yield from examine_host(self.host, self.env)
        yield from examine_storage(self.probe, now=self.clock())
        yield from examine_erasure(self.erasure)
        yield from examine_nylas(self.nylas, now=self.clock())
        yield from examine_dataverse(self.dataverse, now=self.clock())

    def _settings(self) -> Findings:
        problems = self.setting_problems()
        for name, problem in sorted(problems.items()):
            yield Finding("settings", name, Result.BAD, problem, "mend it: docs/settings.md", is_setting=True)
        if not problems:
            yield good("settings", "settings", "all are there and well-formed")

    def _policy(self) -> Findings:
        policy = self.policy()
        yield good("policy", "policy", f"version {policy.version} can be used")


def worst(findings: tuple[Finding, ...]) -> int:
    """The exit code: 2 where a setting is to be mended, 1 where anything else is bad or could not be seen, else 0."""
    wrong = [one for one in findings if one.result in {Result.BAD, Result.UNKNOWN}]
    if any(one.is_setting for one in wrong):
        return 2
    return 1 if wrong else 0


def told(found: tuple[Finding, ...], now: float) -> dict[str, Any]:
    """An examination for a machine."""
    return {
        "made": moment(int(now)),
        "exit_code": worst(found),
        "counts": {result.value: sum(one.result is result for one in found) for result in Result},
        "findings": [
            {
                "topic": one.topic,
                "checked": one.checked,
                "result": one.result.value,
                "says": one.says,
                "todo": one.todo,
            }
            for one in found
        ],
    }
