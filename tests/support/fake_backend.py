"""A backend of a few lines for the tests of the pages: answers what it is told to, remembers what it was asked."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HEALTH = {
    "status": "ok",
    "service": "phonogram",
    "version": "9.8.7",
    "device": "cpu",
    "device_name": "Test processor",
    "device_reason": "no accelerator was found",
    "torch_version": "2.13.0",
    "torch_threads": 3,
    "python_version": "3.11.7",
    "uptime_s": 3723.5,
    "a_later_field": True,
}


@contextmanager
def fake_backend(status=200, body=HEALTH):
    """Serve `body` (bytes, or JSON for anything else) on every path; yields the address and the requests' headers."""
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, dict(self.headers)))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
