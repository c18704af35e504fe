"""Replicas by Ray Serve: started, scaled by how many requests wait, replaced one after another, and reached."""

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
SPEAKERS, DESK = "speakers", "desk"
LOOPBACK = "127.0.0.1"
OBJECT_STORE_BYTES = 128 * 2**20
# A replica that is replaced ends what it has begun, within this.
DRAIN_S = 120.0
HEALTH_PERIOD_S = 5.0
BUSY_S = 1.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many replicas there may be, and what one takes of its machine. `n_waiting` is a speaker's share of waiting
    requests beyond those it speaks: more in the mean, and another replica is started."""

    min_speakers: int = 1
    max_speakers: int = 1
    cores: float = 1.0
    cards: float = 0.0
    desk_cards: float = 0.0
    n_waiting: int = 2


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """What runs: replicas by state for each part, such as {"speakers": {"RUNNING": 2}}."""

    application: str
    message: str
    replicas: dict[str, dict[str, int]]


class RayReplica:
    """A `Replica` as Ray Serve starts it."""

    async def __init__(  # type: ignore[misc]
        self, settings: dict[str, Any], role: Role, build: Callable[[Settings], SpeechEngine]
    ) -> None:
        self._replica = Replica(Settings(**settings), role, build)
        await self._replica.open()

    async def answer(self, scope: dict[str, Any], body: bytes) -> AsyncGenerator[Message, None]:
        async for message in self._replica.answer(scope, body):
            yield message

    async def speak(
        self, wanted: SpeechRequest, about: dict[str, Any], is_timed: bool
    ) -> AsyncGenerator[SpeechEvent, None]:
        async for told in self._replica.speak(wanted, about, is_timed):
            yield told

    def check_health(self) -> None:
        self._replica.require_well()

    async def __del__(self) -> None:
        await self._replica.close()


def connect(address: str | None, n_cores: int | None = None) -> None:
    """Join the cluster at `address`, or start one inside this machine that nobody joins without its token.

    "auto" finds one that was started on this machine. Raises `NotAvailable` without Ray or a cluster there.
    """
    # Before Ray is imported, which reads it then: nothing is reported to its makers.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise NotAvailable("Ray is not installed. Install it with: pip install -e '.[cluster]'") from error
    quiet: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "WARNING"}
    try:
        if address is None:
            # Who joins a cluster runs code on it, and its ports are open to the network: by itself, Ray asks for a token.
            with held_back():
                ray.init(
                    num_cpus=n_cores, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES,
                    _node_ip_address=LOOPBACK, **quiet,
                )  # fmt: skip
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError) as error:
        raise NotAvailable(
            f"There is no cluster at '{address or 'this machine'}'. Start one, or name another."
        ) from error


@contextmanager
def held_back() -> Iterator[None]:
    """Lets Ctrl-C wait for the end of the block: broken off, Ray's start leaves processes behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


def deploy(settings: Settings, size: Size, build: Callable[[Settings], SpeechEngine] = build_engine) -> None:
    """Start the replicas, or replace those that run one after another; returns when all are ready to speak."""
    from ray import serve

    serve.start(proxy_location="Disabled")
    values = settings.model_dump()
    options = {
        "graceful_shutdown_timeout_s": DRAIN_S, "health_check_period_s": HEALTH_PERIOD_S,
        "max_ongoing_requests": settings.max_batch + settings.max_queue, "max_queued_requests": settings.max_queue,
    }  # fmt: skip
    target = settings.max_batch + size.n_waiting
    speakers = serve.deployment(RayReplica).options(
        name=SPEAKERS, **options, ray_actor_options={"num_cpus": size.cores, "num_gpus": size.cards},
        autoscaling_config={
            "min_replicas": size.min_speakers, "max_replicas": size.max_speakers,
            "initial_replicas": size.min_speakers, "target_ongoing_requests": target, "upscale_delay_s": 5,
            "downscale_delay_s": 120,
        },
    )  # fmt: skip
    desk = serve.deployment(RayReplica).options(
        name=DESK, **options, num_replicas=1, ray_actor_options={"num_cpus": size.cores, "num_gpus": size.desk_cards},
    )  # fmt: skip
    serve.run(speakers.bind(values, "speaker", build), name=SPEAKERS, route_prefix=None)
    serve.run(desk.bind(values, "desk", build), name=DESK, route_prefix=None)


def status() -> ClusterStatus:
    """What runs in the cluster that was joined."""
    from ray import serve

    applications = serve.status().applications
    replicas = {
        name: {str(getattr(state, "value", state)): n for state, n in part.replica_states.items()}
        for application in applications.values()
        for name, part in application.deployments.items()
    }
    states = {str(getattr(one.status, "value", one.status)) for one in applications.values()}
    message = " ".join(one.message for one in applications.values() if one.message)
    return ClusterStatus(", ".join(sorted(states)) or "NOT RUNNING", message, replicas)


def shut_down() -> None:
    """End all replicas. What they had begun is broken off."""
    from ray import serve

    serve.shutdown()


def leave() -> None:
    """Leave the cluster; one that was started inside this machine ends."""
    import ray

    ray.shutdown()


class RayReplicaPool:
    """The replicas of one part, reached through Ray Serve, which gives a request to the one with the least to do."""

    def __init__(self, name: str) -> None:
        from ray import serve

        self._handle: DeploymentHandle = serve.get_deployment_handle(name, app_name=name)

    def answer(self, scope: dict[str, Any], body: bytes) -> AsyncGenerator[Message, None]:
        """The messages of an answer. Raises `ReplicaEnded`, and `Busy` if too many requests wait."""
        return self._ask("answer", scope, body)

    def speak(self, wanted: SpeechRequest, about: dict[str, Any], is_timed: bool) -> AsyncGenerator[SpeechEvent, None]:
        """One speech. Raises `ReplicaEnded`, and `Busy` if too many requests wait."""
        return self._ask("speak", wanted, about, is_timed)

    async def _ask(self, method: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        from ray.exceptions import RayActorError, TaskCancelledError, WorkerCrashedError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

        response = self._handle.options(method_name=method, stream=True).remote(*arguments)
        is_whole = False
        try:
            async for message in response:
                yield message
            is_whole = True
        except (RayActorError, WorkerCrashedError, TaskCancelledError, DeploymentUnavailableError) as error:
            raise ReplicaEnded(str(error)) from error
        except BackPressureError as error:
            raise Busy("Every replica has as much waiting as it may. Try again soon.", BUSY_S) from error
        finally:
            if not is_whole:
                response.cancel()
