"""Says a pydantic fault as the stage file has it: setting, what was given, what is allowed."""

from __future__ import annotations

import difflib
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from infra.faults import Fault, choices

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "list_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_BOUNDS = {
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
}


def explain(error: ErrorDetails, root: type[BaseModel]) -> Fault:
    """One fault of pydantic's list, with the place as it stands in the file."""
    place = _Place(root, error["loc"])
    path, given, context = place.path, shown(error["input"]), error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return Fault(path, _unknown_key(str(path[-1]), place.siblings))
        case "missing":
            return Fault(path, f"got nothing, but it is required{place.description}")
        case "union_tag_invalid" | "union_tag_not_found":
            return _wrong_form(error, place)
        case "literal_error":
            return Fault(path, _not_among(error["input"], place.literals, place.description))
        case "string_pattern_mismatch":
            allowed = f"allowed is text that matches {context['pattern']}"
            return Fault(path, f"got {given}, {allowed}{place.description}")
        case "refused":
            return Fault(path, f"got {given}, {context['allowed']}")
        case kind if kind in _BOUNDS:
            allowed = f"allowed is {_BOUNDS[kind].format(**context)}"
            return Fault(path, f"got {given}, {allowed}{place.description}")
        case kind if kind in _KINDS:
            return Fault(path, f"got {given}, allowed is {_KINDS[kind]}{place.description}")
        case _:
            return Fault(path, f"got {given}: {error['msg']}{place.description}")


def shown(value: object) -> str:
    """A value as a message quotes it: short, and never a whole section."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return f"a mapping with {', '.join(map(str, value))}" if value else "an empty mapping"
        case list():
            return f"a list of {len(value)}"
        case str() if len(value) > 60:
            return f"{value[:57]!r}…"
        case str():
            return f"'{value}'"
        case _:
            return str(value)


def _unknown_key(key: str, siblings: list[str]) -> str:
    close = difflib.get_close_matches(key, siblings, n=1)
    hint = f"did you mean {close[0]!r}; " if close else ""
    return f"got a setting that does not exist: {hint}allowed here are {choices(siblings)}"


def _wrong_form(error: ErrorDetails, place: _Place) -> Fault:
    given = error["input"]
    if isinstance(given, dict) and place.discriminator is not None:
        path = (*place.path, place.discriminator)
        tag = given.get(place.discriminator)
        return Fault(path, _not_among(tag, place.tags, place.description))
    allowed = f"allowed is a mapping with exactly one of {choices(place.tags)}"
    return Fault(place.path, f"got {shown(given)}, {allowed}{place.description}")


def _not_among(given: object, allowed: list[Any], description: str) -> str:
    words = choices([shown(value) for value in allowed])
    close = difflib.get_close_matches(str(given), [str(value) for value in allowed], n=1)
    hint = f" (did you mean {close[0]!r}?)" if close and len(allowed) > 1 else ""
    verb = "is" if len(allowed) == 1 else "are"
    return f"got {shown(given)}, allowed {verb} {words}{hint}{description}"


class _Place:
    """Walks from the root model along pydantic's location, which names union members too."""

    def __init__(self, root: type[BaseModel], location: tuple[int | str, ...]) -> None:
        self.path: tuple[int | str, ...] = ()
        self.siblings: list[str] = []
        self._field: FieldInfo | None = None
        self._annotation: Any = root
        for part in location:
            self._step(part)

    def _step(self, part: int | str) -> None:
        annotation = _plain(self._annotation)
        if _is_union(annotation):
            self._annotation = next(
                (member for member in get_args(annotation) if part in _tags(member)), None
            )
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            self.siblings = list(annotation.model_fields)
            self._field = annotation.model_fields.get(str(part))
            self._annotation = self._field.annotation if self._field else None
            self.path += (part,)
        elif part != "[key]":  # pydantic's mark that the part before is itself the fault
            self._annotation = get_args(annotation)[-1] if get_args(annotation) else None
            self.path += (part,)

    @property
    def description(self) -> str:
        """The setting's own documentation, as the end of a message."""
        return f": {self._field.description}" if self._field and self._field.description else ""

    @property
    def discriminator(self) -> str | None:
        """The key that tells the forms of a section apart, if one does."""
        discriminator = self._field.discriminator if self._field else None
        return discriminator if isinstance(discriminator, str) else None

    @property
    def tags(self) -> list[str]:
        """The forms a section may have."""
        return [tag for member in get_args(_plain(self._annotation)) for tag in _tags(member)]

    @property
    def literals(self) -> list[Any]:
        """The values a setting may have."""
        return list(get_args(_plain(self._annotation)))


def _plain(annotation: object) -> object:
    """The annotation without metadata and without `| None`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if _is_union(annotation):
        members = [member for member in get_args(annotation) if member is not types.NoneType]
        return _plain(members[0]) if len(members) == 1 else annotation
    return annotation


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _tags(member: object) -> list[str]:
    """How pydantic names a union's member: its Tag, or the values of its `kind`."""
    if get_origin(member) is Annotated:
        return [mark.tag for mark in get_args(member)[1:] if isinstance(mark, Tag)]
    if isinstance(member, type) and issubclass(member, BaseModel):
        kind = member.model_fields.get("kind")
        if kind is not None and get_origin(kind.annotation) is Literal:
            return list(get_args(kind.annotation))
    return []
