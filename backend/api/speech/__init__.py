"""Speech endpoints: request, streaming response, timestamps, transcoding, WebSocket."""
