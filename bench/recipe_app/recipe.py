"""The plain recipe for mail from Nylas into Dataverse, as many write it: what the benchmark compares us with.

A new connection for each request, one token kept in memory. `write_plain` creates an open email with its parties;
`write_checked` first looks for its Message-ID and for the sender's contact, and completes the email at the end.
As a command it works through the messages named on standard input, one after another.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import requests
from azure.identity import DefaultAzureCredential

_credential = DefaultAzureCredential(
    authority=os.environ["AZURE_AUTHORITY_HOST"].removeprefix("https://"), disable_instance_discovery=True
)
_token: list[Any] = []
EMAILS = os.environ["DATAVERSE_URL"] + "/api/data/v9.2/emails"
CONTACTS = os.environ["DATAVERSE_URL"] + "/api/data/v9.2/contacts"


def write_plain(grant: str, message: str) -> None:
    """Read a message and create its email; no completion, no check for one that is there."""
    mail = _read(grant, message)
    _create(_row(mail, None))


def write_checked(grant: str, message: str) -> None:
    """The same with a lookup of the Message-ID and of the sender's contact, and with the completion."""
    mail = _read(grant, message, fields="include_basic_headers")
    messageid = next(header["value"] for header in mail["headers"] if header["name"].lower() == "message-id")
    if _rows(EMAILS, f"messageid eq '{_quoted(messageid)}'", "activityid"):
        return
    contacts = _rows(CONTACTS, f"emailaddress1 eq '{_quoted(mail['from'][0]['email'])}'", "contactid")
    location = _create({**_row(mail, contacts[0]["contactid"] if contacts else None), "messageid": messageid})
    done = {"statecode": 1, "statuscode": 4}
    requests.patch(location, json=done, headers=_headers(), timeout=100).raise_for_status()


def _read(grant: str, message: str, **params: str) -> dict[str, Any]:
    answer = requests.get(
        f"{os.environ['NYLAS_API_URI']}/v3/grants/{grant}/messages/{message}",
        params=params,
        headers={"Authorization": f"Bearer {os.environ['NYLAS_API_KEY']}"},
        timeout=100,
    )
    answer.raise_for_status()
    mail: dict[str, Any] = answer.json()["data"]
    return mail


def _row(mail: dict[str, Any], contact: str | None) -> dict[str, Any]:
    parties = [
        {"participationtypemask": mask, "addressused": person["email"]}
        for mask, people in ((1, mail["from"]), (2, mail["to"]), (3, mail["cc"]))
        for person in people
    ]
    row = {
        "subject": mail["subject"],
        "description": mail["body"],
        "directioncode": False,
        "email_activity_parties": parties,
    }
    if contact is not None:
        parties[0]["partyid_contact@odata.bind"] = f"/contacts({contact})"
        row["regardingobjectid_contact_email@odata.bind"] = f"/contacts({contact})"
    return row


def _create(row: dict[str, Any]) -> str:
    answer = requests.post(EMAILS, json=row, headers=_headers(), timeout=100)
    answer.raise_for_status()
    return str(answer.headers["OData-EntityId"])


def _rows(url: str, condition: str, column: str) -> list[dict[str, Any]]:
    params = {"$filter": condition, "$select": column}
    answer = requests.get(url, params=params, headers=_headers(), timeout=100)
    answer.raise_for_status()
    rows: list[dict[str, Any]] = answer.json()["value"]
    return rows


def _headers() -> dict[str, str]:
    if not _token or _token[0].expires_on < time.time() + 300:
        _token[:] = [_credential.get_token(os.environ["DATAVERSE_URL"] + "/.default")]
    return {"Authorization": f"Bearer {_token[0].token}"}


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def main() -> None:
    """Write the plain recipe's emails for the messages named on standard input, a JSON object on each line."""
    _headers()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        item = json.loads(line)
        write_plain(item["grant"], item["message"])


if __name__ == "__main__":
    main()
