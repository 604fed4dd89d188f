"""Checks the texts of a request, and names the field of one that is none."""

from fault import Fault
from tasks.parameters import is_encodable


def checked(value: object, field: str) -> str:
    """Return the text; raise a client's Fault for anything else."""
    if not isinstance(value, str):
        raise Fault("invalid_input", f"{field} must be a text, got {_kind(value)}", field=field)
    if not is_encodable(value):
        raise Fault("invalid_input", f"{field} holds half of a surrogate pair", field=field)
    return value


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
