"""Findings of the security rules that are meant, each said beside its resource with the reason."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Take one finding on `construct`, or below it, as meant."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def acknowledge_wildcard(
    construct: IConstruct,
    resource: str,
    reason: str,
    *,
    of: tuple[IConstruct, str] | None = None,
) -> None:
    """Take a `*` in a policy's resource as meant.

    cdk-nag calls a finding by the resource as the template writes it. `of` is what `{}` in
    `resource` stands for: an attribute of another construct, which may be in another stack.
    """
    stack = Stack.of(construct)
    written = _written(stack.resolve(resource))
    if of is not None:
        owner, attribute = Stack.of(of[0]), of[1]
        if owner.node.path != stack.node.path:
            attribute = owner.export_value(attribute)
        written = written.replace("{}", _written(stack.resolve(attribute)))
    acknowledge(construct, f"AwsSolutions-IAM5[Resource::{written}]", reason)


def _written(value: object) -> str:
    match value:
        case str():
            return value
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(_written(part) for part in parts)
        case {"Ref": str(name)}:
            return f"<{name}>"
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return f"<{name}.{attribute}>"
        case {"Fn::ImportValue": exported}:
            return _written(exported)
        case _:
            raise TypeError(f"cannot name {value!r} as cdk-nag does")
