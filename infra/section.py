"""What every part of a stage file has in common: frozen, strict, and no unknown key."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

Place = tuple[str, ...]
Part = TypeVar("Part")


class Section(BaseModel):
    """One mapping of a stage file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def keys_of(section: object) -> set[str]:
    """The keys of a section, before or after validation."""
    if isinstance(section, Section):
        return section.model_fields_set
    return set(section) if isinstance(section, dict) else set()


def valid(adapter: TypeAdapter[Part], part: object) -> Part | None:
    """The part of a stage file, or None where it is malformed by itself."""
    try:
        return adapter.validate_python(part)
    except ValidationError:
        return None
