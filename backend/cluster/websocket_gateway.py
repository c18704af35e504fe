"""Speech WebSocket of a cluster: the gateway holds the connection, and each sentence is a request to a replica."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from backend.api.engine_host import SHUTDOWN_MESSAGE
from backend.api.metrics import ServerMetrics
from backend.api.middleware.request_log import RequestLogMiddleware
from backend.api.routes.speech_socket import PATH, deny
from backend.api.speech.websocket import SpeechSocket
from backend.cluster.in_flight import InFlight
from backend.cluster.remote_speech import RemoteSpeech
from backend.cluster.replica import plain_scope
from backend.cluster.replica_pool import ReplicaPool
from backend.runtime.request import SpeechRequest


class WebSocketGateway:
    """An ASGI application for WebSockets; at most `max_sockets` are open at a time.

    Replicas do not see open sockets, so idle ones use no slot, do not affect autoscaling and outlive the replicas.
    Sentences are counted, queued, drained and retried like any request.
    """

    def __init__(self, workers: ReplicaPool, in_flight: InFlight, max_sockets: int) -> None:
        self._workers, self._in_flight, self._max_sockets = workers, in_flight, max_sockets
        router = APIRouter()
        router.add_api_websocket_route(PATH, self._serve)
        # For the request id and the log line; the replicas record the speech metrics.
        self._app: ASGIApp = RequestLogMiddleware(router, ServerMetrics())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _serve(self, socket: WebSocket) -> None:
        in_flight = self._in_flight
        if in_flight.is_stopping or len(in_flight.sockets) >= self._max_sockets:
            await deny(socket, self._max_sockets, SHUTDOWN_MESSAGE if in_flight.is_stopping else None)
            return
        scope = {**plain_scope(socket.scope), "path": PATH}
        scope["state"]["request_id"] = socket.state.request_id

        def create_speech(request: SpeechRequest, is_timed: bool) -> RemoteSpeech:
            return RemoteSpeech(self._workers, in_flight, request, scope, is_timed)

        session = SpeechSocket(socket, create_speech)
        in_flight.sockets.add(session)
        try:
            await session.run()
        finally:
            in_flight.sockets.remove(session)
