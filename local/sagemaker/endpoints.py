"""Endpoints: created, updated without a lost request, rolled back, deleted, found again."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.deployment import Deployment, snapshot
from local.sagemaker.errors import SageMakerError, ValidationError, ValidationException
from local.sagemaker.events import event_detail
from local.sagemaker.fleet import Fleet, FleetFailed
from local.sagemaker.host import Host
from local.sagemaker.listing import page
from local.sagemaker.models import ENDPOINT_CONFIG, find_plain
from local.sagemaker.store import Json, Record

_KIND = "Endpoint"
_WATCH_SECONDS = 1.0
_INTERRUPTED = "the local AWS stopped while this endpoint was being"


class Endpoints:
    """The operations on endpoints, and what each serves now."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._store = host.store
        self._live: dict[str, Deployment] = {}
        self._routing = threading.Lock()

    def operations(self) -> dict[str, Callable[[Record], Record]]:
        return {
            "CreateEndpoint": self.create,
            "DescribeEndpoint": self.describe,
            "ListEndpoints": self.list_all,
            "UpdateEndpoint": self.update,
            "DeleteEndpoint": self.delete,
        }

    def create(self, request: Record) -> Record:
        name = request["EndpointName"]
        arn = self._host.arn(f"endpoint/{name.lower()}")
        config = find_plain(self._host, ENDPOINT_CONFIG, request["EndpointConfigName"])
        taken = snapshot(self._host, config)
        now = time.time()
        with self._store.lock:
            if self._store.find(_KIND, name.lower()) is not None:
                raise ValidationException(f'Cannot create already existing endpoint "{arn}".')
            record = {
                **request,
                "EndpointArn": arn,
                "EndpointStatus": "Creating",
                "CreationTime": now,
                "LastModifiedTime": now,
            }
            self._store.put(_KIND, name.lower(), record)
        self._emit(name)
        self._host.background(f"endpoint {name}", self._create, name, taken)
        return {"EndpointArn": arn}

    def describe(self, request: Record) -> Record:
        return self._record(request["EndpointName"])

    def list_all(self, request: Record) -> Record:
        found, token = page(
            self._store.all(_KIND), request, name="EndpointName", status="EndpointStatus"
        )
        return {"Endpoints": found, "NextToken": token}

    def update(self, request: Record) -> Record:
        name = request["EndpointName"]
        with self._store.lock:
            record = self._record(name)
            self._settled(record)
            if record["EndpointStatus"] != "InService":
                raise ValidationException(
                    f'Cannot update endpoint "{record["EndpointArn"]}" in status '
                    f"{record['EndpointStatus']}: delete it and create it again"
                )
            try:
                old = find_plain(self._host, ENDPOINT_CONFIG, record["EndpointConfigName"])
            except ValidationException:
                raise ValidationException(
                    "Could not find existing endpoint configuration "
                    f'"{record["EndpointConfigName"]}".'
                ) from None
            config = find_plain(self._host, ENDPOINT_CONFIG, request["EndpointConfigName"])
            taken = snapshot(self._host, config)
            if _is_serverless(config) and not _is_serverless(old):
                raise ValidationException(
                    "Cannot update an instance-based endpoint to a serverless endpoint."
                )

            def edit(record: Record) -> None:
                record.pop("FailureReason", None)
                record.update(
                    EndpointStatus="Updating",
                    LastModifiedTime=time.time(),
                    PendingDeploymentSummary={
                        "EndpointConfigName": config["EndpointConfigName"],
                        "StartTime": time.time(),
                    },
                )

            self._store.change(_KIND, name.lower(), edit)
        self._emit(name)
        self._host.background(f"endpoint {name}", self._update, name, taken)
        return {"EndpointArn": record["EndpointArn"]}

    def delete(self, request: Record) -> Record:
        name = request["EndpointName"]
        with self._store.lock:
            self._settled(self._record(name))
            self._change(name, EndpointStatus="Deleting")
        self._emit(name)
        self._host.background(f"endpoint {name}", self._delete, name)
        return {}

    def route(self, name: str, target: str | None) -> tuple[str, Deployment, Fleet]:
        """The variant, deployment and fleet for one request; raises ValidationError."""
        with self._routing:
            deployment = self._live.get(name.lower())
        if deployment is None:
            account = self._host.platform.account
            raise ValidationError(f"Endpoint {name} of account {account} not found.")
        variant, fleet = deployment.choose(target)
        return variant, deployment, fleet

    def recover(self) -> None:
        """Serves again what was in service, and ends what was interrupted."""
        for record in self._store.all(_KIND):
            name, status = record["EndpointName"], record["EndpointStatus"]
            if status == "Deleting":
                self._delete(name)
            elif status == "Creating":
                reason = f"{_INTERRUPTED} created: delete it and create it again"
                self._change(name, EndpointStatus="Failed", FailureReason=reason)
            elif status in ("InService", "Updating"):
                if status == "Updating":
                    self._settle(name, FailureReason=f"{_INTERRUPTED} updated")
                deployment = Deployment(self._host, name, record["deployed"])
                _remove_leftovers(deployment)
                with self._routing:
                    self._live[name.lower()] = deployment
        self._host.background("endpoint watch", self._watch)

    def stop(self) -> None:
        with self._routing:
            live, self._live = list(self._live.values()), {}
        for deployment in live:
            deployment.stop()

    def _create(self, name: str, taken: Record) -> None:
        reason = self._started(name, taken)
        if self._host.closing.is_set():
            return
        if reason is None:
            self._settle(name, deployed=taken, EndpointConfigName=taken["config"])
        else:
            self._change(name, EndpointStatus="Failed", FailureReason=reason)
        self._emit(name)

    def _update(self, name: str, taken: Record) -> None:
        with self._routing:
            old = self._live.get(name.lower())
        reason = self._started(name, taken)
        if self._host.closing.is_set():
            return
        if reason is None:
            self._settle(name, deployed=taken, EndpointConfigName=taken["config"])
        else:
            self._settle(name, FailureReason=reason)
        self._emit(name)
        if reason is None and old is not None:
            old.retire()

    def _started(self, name: str, taken: Record) -> str | None:
        """Starts the snapshot and routes to it; the reason if it cannot serve."""
        deployment = Deployment(self._host, name, taken)
        reason: str | None = "InternalServerError: see the log of the local AWS"
        try:
            deployment.start()
            reason = None
        except FleetFailed as failure:
            reason = str(failure)
        except (SageMakerError, BotoCoreError, ClientError, OSError) as error:
            reason = f"InternalServerError: {error}"
        finally:
            if reason is not None:
                deployment.retire()
        if reason is None:
            with self._routing:
                self._live[name.lower()] = deployment
        return reason

    def _delete(self, name: str) -> None:
        with self._routing:
            deployment = self._live.pop(name.lower(), None)
        if deployment is not None:
            deployment.retire()
        shutil.rmtree(self._host.directory / "endpoints" / name, ignore_errors=True)
        record = self._store.find(_KIND, name.lower())
        self._store.delete(_KIND, name.lower())
        if record is not None:
            self._put_event({**record, "EndpointStatus": "Deleted"})

    def _watch(self) -> None:
        while not self._host.closing.is_set():
            with self._routing:
                live = list(self._live.values())
            for deployment in live:
                deployment.watch()
            self._host.closing.wait(_WATCH_SECONDS)

    def _settle(self, name: str, **members: Json) -> None:
        """Back to InService, with what is served now."""
        with self._routing:
            deployment = self._live.get(name.lower())

        def edit(record: Record) -> None:
            record.pop("PendingDeploymentSummary", None)
            record.pop("FailureReason", None)
            record.update(members, EndpointStatus="InService", LastModifiedTime=time.time())
            if deployment is not None:
                record["ProductionVariants"] = deployment.summaries()
                record["AsyncInferenceConfig"] = deployment.queue

        self._store.change(_KIND, name.lower(), edit)

    def _change(self, name: str, **members: Json) -> None:
        def edit(record: Record) -> None:
            record.update(members, LastModifiedTime=time.time())

        self._store.change(_KIND, name.lower(), edit)

    def _record(self, name: str) -> Record:
        record = self._store.find(_KIND, name.lower())
        if record is None:
            arn = self._host.arn(f"endpoint/{name.lower()}")
            raise ValidationException(f'Could not find endpoint "{arn}".')
        return record

    @staticmethod
    def _settled(record: Record) -> None:
        if record["EndpointStatus"] in ("Creating", "Updating", "Deleting"):
            raise ValidationException(
                f'Cannot update in-progress endpoint "{record["EndpointArn"]}".'
            )

    def _emit(self, name: str) -> None:
        record = self._store.find(_KIND, name.lower())
        if record is not None:
            self._put_event(record)

    def _put_event(self, record: Record) -> None:
        detail = event_detail(record)
        # Events spell the status another way than the API.
        detail["EndpointStatus"] = re.sub(r"(?<!^)(?=[A-Z])", "_", record["EndpointStatus"]).upper()
        self._host.emit("Endpoint State Change", detail, record["EndpointArn"])


def _remove_leftovers(deployment: Deployment) -> None:
    """Deletes what an interrupted update had staged."""
    for path in deployment.directory.parent.iterdir():
        if path.is_dir() and path != deployment.directory:
            shutil.rmtree(path, ignore_errors=True)


def _is_serverless(config: Record) -> bool:
    return any("ServerlessConfig" in variant for variant in config["ProductionVariants"])
