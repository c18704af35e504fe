"""A server process for fault tests: `python -m tests.fault.server ENGINE` listens on PORT.

ENGINE is `hum`, which generates tones of any length at once, or `small`, the real engine with a random model.
MAX_FILE_BYTES limits the size of each file it writes, like a full disk.
"""

from __future__ import annotations

import os
import sys

import uvicorn

from backend.app import create_app
from backend.opt_engine import OptimizedEngine
from backend.settings import Settings
from tests.support.fake_engine import FakeEngine
from tests.support.small_engine import open_small

ENGINES = {"hum": FakeEngine, "small": lambda settings: OptimizedEngine(settings, open_small)}


def main() -> None:
    if "MAX_FILE_BYTES" in os.environ:
        import resource

        limit = int(os.environ["MAX_FILE_BYTES"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    app = create_app(settings, ENGINES[sys.argv[1]])
    uvicorn.run(app, host="127.0.0.1", port=settings.port, log_level="critical", timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
