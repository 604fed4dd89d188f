"""What every part of a stage file has in common: frozen, strict, and no unknown key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One mapping of a stage file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def keys_of(section: object) -> set[str]:
    """The keys of a section, before or after validation."""
    if isinstance(section, Section):
        return section.model_fields_set
    return set(section) if isinstance(section, dict) else set()
