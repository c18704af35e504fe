"""Music endpoints: requests, streams, archives of stems, and the WebSocket."""
