"""Stands in for the Dataverse Web API v9.2, as strict as what is known of the service.

Responsible for the rows (SQLite in memory), the rules of the tables we write, conditional requests, service protection
and the answers' shapes. A request goes from `stand_in` through `routes` or `batch` to `reading` or `writing`; what is
declared stands in tables.toml. What nobody has proved on a live organisation says [unproven] where it is decided.
"""

from __future__ import annotations

from sandbox.dataverse.protection import Protection
from sandbox.dataverse.stand_in import DataverseStandIn, Logged

__all__ = ["DataverseStandIn", "Logged", "Protection"]
