"""What the service refuses with: its codes, and the messages that are written in more than one place."""

from __future__ import annotations

SYNTAX = "0x80060888"
PAYLOAD = "0x80048d19"
INVALID_ARGUMENT = "0x80040203"
NOT_FOUND = "0x80040217"
DUPLICATE = "0x80040237"
STALE = "0x80060882"
NO_METHOD = "0x80040800"
NO_RESOURCE = "0x80060888"  # live answers of 2025; learn.microsoft.com, web-api-client-errors, has 0x8006088a
PLUG_IN = "0x80040265"
STATUS_OF_OTHER_STATE = "0x80048408"


class ODataError(Exception):
    """A refusal: HTTP status, the service's hexadecimal code, its message, and when to come again."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


def syntax(message: str) -> ODataError:
    """The URL cannot be understood."""
    return ODataError(400, SYNTAX, message)


def invalid(message: str) -> ODataError:
    """What is asked for is understood, and not possible."""
    return ODataError(400, INVALID_ARGUMENT, message)


def bad_input(message: str) -> ODataError:
    """The body holds something that its declarations do not let pass."""
    text = f"An error occurred while validating input parameters: Microsoft.OData.ODataException: {message}"
    return ODataError(400, PAYLOAD, text)


def only_annotated(name: str) -> ODataError:
    """A name in the body that is not declared has an annotation and no value."""
    return bad_input(
        f"An undeclared property '{name}' which only has property annotations in the payload but no property value was "
        "found in the payload. In OData, only declared navigation properties and declared named streams can be "
        "represented as properties without values."
    )


def missing(logical: str, row_id: str) -> ODataError:
    """There is no such row."""
    return ODataError(404, NOT_FOUND, f"{logical} With Id = {row_id} Does Not Exist")


def duplicate(message: str = "Cannot insert duplicate key.") -> ODataError:
    """There is such a row already."""
    return ODataError(412, DUPLICATE, message)


def no_resource(segment: str, status: int = 404) -> ODataError:
    """A part of the path that names nothing."""
    return ODataError(status, NO_RESOURCE, f"Resource not found for the segment '{segment}'.")


def no_path(uri: str) -> ODataError:
    """An address that is none of the Web API's."""
    return ODataError(404, "", f"No HTTP resource was found that matches the request URI '{uri}'.")


def no_http_method(method: str) -> ODataError:
    """This address does not take this HTTP method."""
    return ODataError(405, "", f"The requested resource does not support http method '{method}'.")


def no_message(message: str, logical: str) -> ODataError:
    """The table does not offer this (Create, Update, Delete) at all."""
    return ODataError(400, NO_METHOD, f"The '{message}' method does not support entities of type '{logical}'.")


def completed() -> ODataError:
    """The activity is completed or cancelled, and may not be changed any more."""
    return invalid("Cannot update Closed or Cancelled Activity")
