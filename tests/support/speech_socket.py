"""A client of the speech WebSocket, and the audio it should receive from the fake engine."""

import base64
import json

import numpy as np
from starlette.websockets import WebSocketDisconnect

from backend.audio.pcm import to_int16
from backend.runtime.request import SpeechRequest
from tests.support.fake_engine import sound_of

PATH = "/v1/audio/speech/stream"


class Talk:
    """Sends dicts as JSON; collects the audio in `sound` and the other messages in `told`."""

    def __init__(self, socket):
        self._socket = socket
        self.sound, self.told = b"", []

    def say(self, **message):
        self._socket.send_text(json.dumps(message))

    def next(self):
        """Receives one message and returns its type, "sound" for binary audio."""
        message = self._socket.receive()
        if message["type"] == "websocket.close":
            raise WebSocketDisconnect(message["code"])
        if message.get("bytes"):
            self.sound += message["bytes"]
            return "sound"
        body = json.loads(message["text"])
        if body["type"] == "audio":
            self.sound += base64.b64decode(body["audio"])
        self.told.append(body)
        return body["type"]

    def until(self, kind):
        """Receives messages up to the first of this type, and returns it."""
        while self.next() != kind:
            pass
        return self.told[-1]

    def of(self, kind):
        return [body for body in self.told if body["type"] == kind]


def pcm_of(*texts):
    """16-bit PCM of these texts as the fake engine speaks them."""
    sounds = [to_int16(sound_of(SpeechRequest(text=text), 1)).T for text in texts]
    return np.concatenate(sounds).astype("<i2").tobytes()
