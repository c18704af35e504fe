"""The Gradio page. `python -m ui.gradio_app --backend URL` starts it."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import uvicorn
from fastapi import FastAPI

from ui import labels
from ui.backend_proxy import METHODS, BackendProxy
from ui.client import BackendClient, BackendError
from ui.gradio_tabs import audiobooks, codec, emotions, lossless, music, speak, system, voices
from ui.gradio_theme import STATIC, THEME, head, placeholder, show_script
from ui.head_middleware import HeadMiddleware
from ui.static_files import CachedStaticFiles


class Tab(NamedTuple):
    """A tab: the function that builds it, and the backend path it needs to be shown; None always shows it.

    `build` returns components to load when the tab is opened: an invisible component is not loaded.
    """

    build: Callable[[BackendClient, gr.Blocks], list[gr.components.Component]]
    required_path: str | None = None


TABS = {
    "Speak": Tab(speak.build),
    "Audiobooks": Tab(audiobooks.build, "/jobs"),
    "Voices": Tab(voices.build),
    "Music": Tab(music.build, "/v1/audio/music"),
    "Codec": Tab(codec.build, "/codec/encode"),
    "Lossless": Tab(lossless.build, "/lossless/compress"),
    "Emotions": Tab(emotions.build),
    "System": Tab(system.build),
}

GRADIO_ASSETS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
# Interval of the clean-up of uploaded files, and their maximum age.
CACHE_S = (3600, 24 * 3600)


def build_page(client: BackendClient) -> gr.Blocks:
    """Build every tab; the backend is queried only when a page is opened."""
    with gr.Blocks(title=labels.TITLE, analytics_enabled=False, delete_cache=CACHE_S) as page:
        placeholder("header")
        with gr.Tabs(elem_id="pg-tabs"):
            optional = {}
            for name, tab in TABS.items():
                with gr.Tab(name, visible=tab.required_path is None) as item:
                    deferred = tab.build(client, page)
                if deferred:
                    item.select(None, outputs=deferred, js=show_script(len(deferred)))
                if tab.required_path is not None:
                    optional[tab.required_path] = item

        def visible_tabs() -> Any:
            try:
                paths = client.paths()
            except BackendError:
                # Without a backend show every tab; each reports its own errors.
                paths = frozenset(optional)
            changes = [gr.Tab(visible=path in paths) for path in optional]
            return changes[0] if len(changes) == 1 else changes

        if optional:
            page.load(visible_tabs, outputs=list(optional.values()), api_visibility="private")
    return page


def build_server(client: BackendClient, api_key: str = "", host: str = "127.0.0.1", port: int = 7860) -> FastAPI:
    """Return the server of the page, its static files, and the backend proxy under `/backend/`."""
    proxy = BackendProxy(client.url, api_key)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await proxy.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_route("/backend/{path:path}", proxy.__call__, METHODS)
    app.mount("/page", CachedStaticFiles(STATIC, has_hashed_names=False))
    # Gradio would read and compress each file again for every visitor.
    app.mount("/assets", CachedStaticFiles(GRADIO_ASSETS, has_hashed_names=True))
    app.add_middleware(HeadMiddleware, lines=head())
    return gr.mount_gradio_app(
        app, build_page(client), "/", host, port, footer_links=[], ssr_mode=False, theme=THEME, run_history=False,
        enable_monitoring=False, pwa=False, mcp_server=False,
    )  # fmt: skip


def main() -> None:
    """Read the arguments and serve the page until stopped."""
    parser = argparse.ArgumentParser(prog="python -m ui.gradio_app", description="Serve the Gradio page.")
    parser.add_argument("--backend", default="http://127.0.0.1:8000", help="address of the backend (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (%(default)s)")
    arguments = parser.parse_args()
    api_key = os.environ.get("API_KEY", "")
    client = BackendClient(arguments.backend, api_key)
    server = build_server(client, api_key, arguments.host, arguments.port)
    uvicorn.run(server, host=arguments.host, port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
