"""The faults of an API's settings that no setting has by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.faults import Fault
from infra.settings import pascal_case

PLACE = ("api",)
# What belongs to one way of telling callers apart.
BELONGS_TO = {"jwt": "jwt", "cognito": "cognito", "keys": "api-key", "quota": "api-key"}
NEEDS = ("jwt", "cognito")


def api_faults(api: object) -> Iterator[Fault]:
    """Every such fault of the section `api`; nothing where it is malformed by itself."""
    if not isinstance(api, dict):
        return
    auth = api.get("auth")
    for name, wanted in BELONGS_TO.items():
        if api.get(name) is not None and auth != wanted:
            yield Fault(
                (*PLACE, name),
                f"got it with auth {auth!r}, allowed with auth: {wanted} only: drop one of both",
            )
    if auth in NEEDS and api.get(auth) is None:
        yield Fault((*PLACE, auth), f"got nothing, but auth: {auth} needs to know whose tokens")
    yield from _tenancy_faults(api)
    yield from _function_faults(api.get("function"))
    yield from _key_faults(api.get("keys"))
    yield from _cors_faults(api.get("cors"))


def _key_faults(keys: object) -> Iterator[Fault]:
    names = [name for name in keys if isinstance(name, str)] if isinstance(keys, list) else []
    seen: dict[str, str] = {}
    for place, name in enumerate(names):
        other = seen.setdefault(pascal_case(name), name)
        if name in names[:place]:
            yield Fault((*PLACE, "keys"), f"got {name!r} twice: drop one of both")
        elif name != other:
            yield Fault(
                (*PLACE, "keys"),
                f"got {name!r} beside {other!r}, and both become {pascal_case(name)} in the "
                "templates: rename one",
            )


def _cors_faults(cors: object) -> Iterator[Fault]:
    origins = cors.get("origins") if isinstance(cors, dict) else None
    if isinstance(origins, list) and "*" in origins and len(origins) > 1:
        yield Fault(
            (*PLACE, "cors", "origins"),
            "got '*' beside others, which it holds already: drop it, or drop them",
        )


def _tenancy_faults(api: Mapping[str, Any]) -> Iterator[Fault]:
    if api.get("tenancy") is True and api.get("auth") == "open-to-everyone":
        yield Fault(
            (*PLACE, "tenancy"),
            "got true with auth open-to-everyone, which tells no callers apart: use another auth",
        )


def _function_faults(function: object) -> Iterator[Fault]:
    if not isinstance(function, dict):
        return
    if function.get("snap_start") is True and function.get("provisioned_concurrency"):
        yield Fault(
            (*PLACE, "function", "snap_start"),
            "got true beside provisioned_concurrency, allowed is one of both: Lambda takes no more",
        )
