"""What an organisation has automated, and who goes past it: its own plug-ins and workflows, and its flows.

Responsible for the headers by which a request asks for that, the privilege it takes, and a record of what ran. Headers
and privileges: learn.microsoft.com, "Bypass custom Dataverse logic" and "Bypass Power Automate flows", read 2026-11.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sandbox.dataverse.model import Table
from sandbox.dataverse.privileges import Privileges
from sandbox.dataverse.refusals import invalid
from sandbox.dataverse.requests import Request

LOGIC = "mscrm.bypassbusinesslogicexecution"
STEPS = "mscrm.bypassbusinesslogicexecutionstepids"
OLD = "mscrm.bypasscustompluginexecution"
FLOWS = "mscrm.suppresscallbackregistrationexpanderjob"
KINDS = frozenset({"CustomSync", "CustomAsync"})
MOST = 200_000


@dataclass(frozen=True, slots=True)
class Ran:
    """What answered one write: the synchronous logic of the organisation, its asynchronous logic, its flows."""

    action: str
    table: str
    row: str
    synchronous: bool
    asynchronous: bool
    flows: bool

    @property
    def nothing(self) -> bool:
        """Whether nothing of the organisation's own answered it."""
        return not (self.synchronous or self.asynchronous or self.flows)


class Automation:
    """The automation of one organisation: it answers every write, unless it is passed by."""

    def __init__(self, privileges: Privileges) -> None:
        self._privileges = privileges
        self.log: deque[Ran] = deque(maxlen=MOST)
        """What answered each write that a request asked for; may be cleared."""

    def answering(self, request: Request, action: str, table: Table, row: str) -> Ran:
        """What answers this write. Refuses what is spelled otherwise than documented. [unproven]

        Without the privilege the request is refused. [unproven]: some say that the header is ignored then.
        """
        passed = self._passed(request)
        flows = _flag(request, FLOWS)
        return Ran(action, table.logical, row, "CustomSync" not in passed, "CustomAsync" not in passed, not flows)

    def _passed(self, request: Request) -> frozenset[str]:
        passed: frozenset[str] = frozenset()
        if (asked := request.headers.get(LOGIC)) is not None:
            passed = frozenset(part.strip() for part in asked.split(","))
            if not passed <= KINDS:
                raise invalid(f"The value '{asked}' of BypassBusinessLogicExecution is not valid.")
            self._privileges.bypass("prvBypassCustomBusinessLogic")
        if request.headers.get(STEPS) is not None:
            raise invalid("Steps of plug-ins are not known here.")
        if _flag(request, OLD):
            self._privileges.bypass("prvBypassCustomPlugins")
            passed |= {"CustomSync"}
        return passed


def _flag(request: Request, name: str) -> bool:
    written = request.headers.get(name, "false")
    if written.lower() not in {"true", "false"}:
        raise invalid(f"The value '{written}' of {name} is neither true nor false.")
    return written.lower() == "true"
