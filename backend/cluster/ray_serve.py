"""Ray Serve deployment of the replicas: start, autoscaling on queue depth, rolling update, and request routing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.types import Message

from backend.api.engine_host import SpeechEngine
from backend.app import Role, build_engine
from backend.cluster.replica import Replica
from backend.cluster.replica_pool import ReplicaEnded, SpeechEvent
from backend.errors import Busy, NotAvailable
from backend.runtime.request import SpeechRequest
from backend.settings import Settings

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

NAMESPACE = APPLICATION = "phonogram"
# Deployment names; running clusters use them, so they stay as they are.
WORKERS, PRIMARY = "speakers", "desk"
LOOPBACK = "127.0.0.1"
OBJECT_STORE_BYTES = 128 * 2**20
# A replica that is replaced has this long to finish its requests.
DRAIN_S = 120.0
HEALTH_PERIOD_S = 5.0
BUSY_S = 1.0


@dataclass(frozen=True, slots=True)
class Size:
    """Number of replicas and the CPU cores and GPUs of each.

    Another worker is started when more than `n_queued` requests per worker wait on average beyond MAX_BATCH.
    """

    min_workers: int = 1
    max_workers: int = 1
    cores: float = 1.0
    gpus: float = 0.0
    primary_gpus: float = 0.0
    n_queued: int = 2


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """Replicas by deployment and state, for example {"speakers": {"RUNNING": 2}}."""

    application: str
    message: str
    replicas: dict[str, dict[str, int]]


class RayReplica:
    """Ray Serve deployment of a `Replica`."""

    async def __init__(  # type: ignore[misc]
        self, settings: dict[str, Any], role: Role, build: Callable[[Settings], SpeechEngine]
    ) -> None:
        self._replica = Replica(Settings(**settings), role, build)
        await self._replica.open()

    async def handle(self, scope: dict[str, Any], body: bytes) -> AsyncGenerator[Message, None]:
        async for message in self._replica.handle(scope, body):
            yield message

    async def speak(
        self, request: SpeechRequest, scope: dict[str, Any], is_timed: bool
    ) -> AsyncGenerator[SpeechEvent, None]:
        async for event in self._replica.speak(request, scope, is_timed):
            yield event

    def check_health(self) -> None:
        self._replica.check_health()

    async def __del__(self) -> None:
        await self._replica.close()


def connect(address: str | None, n_cores: int | None = None) -> None:
    """Connects to the Ray cluster at `address`, or starts a token-protected one on this machine.

    "auto" finds a cluster running on this machine. Raises `NotAvailable` without Ray or without that cluster.
    """
    # Turns Ray's usage reports off; Ray reads this when it is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise NotAvailable("Ray is not installed. Install it with: pip install -e '.[cluster]'") from error
    quiet: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "WARNING"}
    try:
        if address is None:
            # Joining a cluster means code execution, and its ports are open to the network. Ray requires a token here.
            with defer_interrupt():
                ray.init(
                    num_cpus=n_cores, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES,
                    _node_ip_address=LOOPBACK, **quiet,
                )  # fmt: skip
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError) as error:
        raise NotAvailable(
            f"There is no cluster at '{address or 'this machine'}'. Start one, or use another address."
        ) from error


@contextmanager
def defer_interrupt() -> Iterator[None]:
    """Defers Ctrl-C to the end of the block, because an interrupted Ray start leaves processes behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if received:
        raise KeyboardInterrupt


def deploy(settings: Settings, size: Size, build: Callable[[Settings], SpeechEngine] = build_engine) -> None:
    """Starts the replicas, or replaces running ones one after another. Returns when all are ready."""
    from ray import serve

    serve.start(proxy_location="Disabled")
    values = settings.model_dump()
    options = {
        "graceful_shutdown_timeout_s": DRAIN_S, "health_check_period_s": HEALTH_PERIOD_S,
        "max_ongoing_requests": settings.max_batch + settings.max_queue, "max_queued_requests": settings.max_queue,
    }  # fmt: skip
    target = settings.max_batch + size.n_queued
    deployment: Any = serve.deployment(RayReplica)  # Ray's annotations describe the decorator without arguments
    workers = deployment.options(
        name=WORKERS, **options, ray_actor_options={"num_cpus": size.cores, "num_gpus": size.gpus},
        autoscaling_config={
            "min_replicas": size.min_workers, "max_replicas": size.max_workers,
            "initial_replicas": size.min_workers, "target_ongoing_requests": target, "upscale_delay_s": 5,
            "downscale_delay_s": 120,
        },
    )  # fmt: skip
    primary = deployment.options(
        name=PRIMARY, **options, num_replicas=1,
        ray_actor_options={"num_cpus": size.cores, "num_gpus": size.primary_gpus},
    )  # fmt: skip
    serve.run(workers.bind(values, "worker", build), name=WORKERS, route_prefix=None)
    serve.run(primary.bind(values, "primary", build), name=PRIMARY, route_prefix=None)


def status() -> ClusterStatus:
    """Returns the status of the connected cluster."""
    from ray import serve

    applications = serve.status().applications
    replicas = {
        name: {str(getattr(state, "value", state)): n for state, n in deployment.replica_states.items()}
        for application in applications.values()
        for name, deployment in application.deployments.items()
    }
    states = {str(getattr(application.status, "value", application.status)) for application in applications.values()}
    message = " ".join(application.message for application in applications.values() if application.message)
    return ClusterStatus(", ".join(sorted(states)) or "NOT RUNNING", message, replicas)


def shut_down() -> None:
    """Stops all replicas and aborts their requests."""
    from ray import serve

    serve.shutdown()


def disconnect() -> None:
    """Disconnects from the cluster. A cluster that `connect` started ends."""
    import ray

    ray.shutdown()


class RayReplicaPool:
    """Replicas of one deployment; Ray Serve routes each request to the least busy one."""

    def __init__(self, name: str) -> None:
        from ray import serve

        self._handle: DeploymentHandle = serve.get_deployment_handle(name, app_name=name)

    def handle(self, scope: dict[str, Any], body: bytes) -> AsyncGenerator[Message, None]:
        """Yields the ASGI messages of a response. Raises `ReplicaEnded`, and `Busy` when all queues are full."""
        return self._call("handle", scope, body)

    def speak(self, request: SpeechRequest, scope: dict[str, Any], is_timed: bool) -> AsyncGenerator[SpeechEvent, None]:
        """Yields the events of one speech. Raises `ReplicaEnded`, and `Busy` when all queues are full."""
        return self._call("speak", request, scope, is_timed)

    async def _call(self, method: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        from ray.exceptions import RayActorError, TaskCancelledError, WorkerCrashedError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

        response: Any = self._handle.options(method_name=method, stream=True).remote(*arguments)
        is_whole = False
        try:
            async for message in response:
                yield message
            is_whole = True
        except (RayActorError, WorkerCrashedError, TaskCancelledError, DeploymentUnavailableError) as error:
            raise ReplicaEnded(str(error)) from error
        except BackPressureError as error:
            raise Busy("The queues of all replicas are full. Try again soon.", BUSY_S) from error
        finally:
            if not is_whole:
                response.cancel()
