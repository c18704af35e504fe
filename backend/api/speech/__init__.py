"""Speech endpoints: request, streaming response, timestamps, WebSocket."""
