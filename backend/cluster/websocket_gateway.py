"""The speech socket of a cluster: the door converses, and each sentence is a request to the replicas."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from backend.api.engine_host import STOPS
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
    """An ASGI application for WebSockets alone; at most `n_most` are open at a time.

    An open socket is nothing to a replica, so silent ones take nobody's place, count for no scaling and outlive the
    replicas. What is said is counted, queued, drained and asked again like any request.
    """

    def __init__(self, speakers: ReplicaPool, under_way: InFlight, n_most: int) -> None:
        self._speakers, self._under_way, self._n_most = speakers, under_way, n_most
        router = APIRouter()
        router.add_api_websocket_route(PATH, self._converse)
        # For the id and the line in the log. Speeches are counted where they are made.
        self._app: ASGIApp = RequestLogMiddleware(router, ServerMetrics())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _converse(self, socket: WebSocket) -> None:
        under_way = self._under_way
        if under_way.is_stopping or len(under_way.conversations) >= self._n_most:
            await deny(socket, self._n_most, STOPS if under_way.is_stopping else None)
            return
        about = {**plain_scope(socket.scope), "path": PATH}
        about["state"]["request_id"] = socket.state.request_id

        def speak(wanted: SpeechRequest, is_timed: bool) -> RemoteSpeech:
            return RemoteSpeech(self._speakers, under_way, wanted, about, is_timed)

        conversation = SpeechSocket(socket, speak)
        under_way.conversations.add(conversation)
        try:
            await conversation.run()
        finally:
            under_way.conversations.remove(conversation)
