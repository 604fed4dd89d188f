"""Follows a release: the stack's events, until every model of a pipeline serves the version."""

from __future__ import annotations

import time
from itertools import takewhile
from typing import Any

from lectern.deployment import Deployment, Model
from lectern.faults import LecternError
from lectern.output import Output


class Release:
    """The inference stack's next update, watched from the moment of its making."""

    def __init__(self, deployment: Deployment, pipeline: str, output: Output) -> None:
        self._deployment = deployment
        self._output = output
        self._stack = deployment.stack_name("inference")
        self._pipeline = pipeline
        self._models = [
            model for _, model in sorted(deployment.models.items()) if model.pipeline == pipeline
        ]
        self._newest = self._deployment.client("cloudformation").describe_stack_events(
            StackName=self._stack
        )["StackEvents"][0]["EventId"]
        self._failure: str | None = None

    def follow(self, version: str, timeout_seconds: float) -> dict[str, Any]:
        """Wait for the version in every model; returns their states, raises on a rollback."""
        deadline = time.monotonic() + timeout_seconds
        with self._output.working(f"bringing version {version} to the endpoints"):
            while True:
                # Events are read first: a rollback that ended before the models were looked at is
                # then never taken for a success.
                self._tell_events()
                states = {model.name: self._serves(model, version) for model in self._models}
                if all(states.values()):
                    return {
                        name: {"state": state, "version": version} for name, state in states.items()
                    }
                if time.monotonic() > deadline:
                    waiting = ", ".join(name for name, state in states.items() if not state)
                    raise LecternError(
                        f"version {version} did not reach {waiting} within {timeout_seconds:g} s: "
                        f"stack {self._stack} is {self._stack_status()}"
                    )
                time.sleep(self._deployment.poll_seconds)

    def _serves(self, model: Model, version: str) -> str | None:
        served = self._deployment.served(model)
        settled = served.state in ("InService", "BatchOnly")
        return served.state if settled and served.version == version else None

    def _tell_events(self) -> None:
        """Tell the stack's new events in order; raises once a rollback is over."""
        for event in self._new_events():
            self._newest = event["EventId"]
            self._tell(event)
            if self._failure is not None and event["LogicalResourceId"] == self._stack:
                status = event["ResourceStatus"]
                if "ROLLBACK" in status and not status.endswith("_IN_PROGRESS"):
                    raise LecternError(
                        f"the release was rolled back ({status}), what served before serves on: "
                        f"{self._failure}"
                    )

    def _tell(self, event: dict[str, Any]) -> None:
        status, reason = event["ResourceStatus"], event.get("ResourceStatusReason", "")
        name, kind = event["LogicalResourceId"], event.get("ResourceType", "")
        if status.endswith("_IN_PROGRESS") and name != self._stack:
            return
        told = f"  {status:<28} {kind:<32} {name}"
        self._output.say(f"{told}: {reason}" if reason else told)
        if self._failure is None and (status.endswith("_FAILED") or "ROLLBACK" in status):
            self._failure = f"{name}: {reason or status}"

    def _new_events(self) -> list[dict[str, Any]]:
        pages = (
            self._deployment.client("cloudformation")
            .get_paginator("describe_stack_events")
            .paginate(StackName=self._stack)
        )
        newest_first = (event for page in pages for event in page["StackEvents"])
        new = list(takewhile(lambda event: event["EventId"] != self._newest, newest_first))
        return new[::-1]

    def _stack_status(self) -> str:
        status: str = self._deployment.stack("inference")["StackStatus"]
        return status
