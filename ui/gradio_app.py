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
from ui.client import BackendClient, BackendError
from ui.front_page import FrontPage
from ui.gradio_look import STATIC, THEME, head, part, shown_script
from ui.gradio_tabs import codec, emotions, lossless, review, speak, system, voices
from ui.page_files import PageFiles
from ui.relay import METHODS, Relay


class Tab(NamedTuple):
    """A tab: how it is laid out, and the path the backend must offer for it to be shown; None shows it always.

    `build` returns what is shown only once somebody looks: a component that is not visible is not loaded either.
    """

    build: Callable[[BackendClient, gr.Blocks], list[gr.components.Component]]
    needs: str | None = None


TABS = {
    "Speak": Tab(speak.build),
    "Review": Tab(review.build, "/jobs"),
    "Voices": Tab(voices.build),
    "Codec": Tab(codec.build, "/codec/encode"),
    "Lossless": Tab(lossless.build, "/lossless/compress"),
    "Emotions": Tab(emotions.build),
    "System": Tab(system.build),
}

GRADIO_ASSETS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
# How often the sounds kept for visitors are looked through, and how old they may become.
CACHE_S = (3600, 24 * 3600)


def build_page(client: BackendClient) -> gr.Blocks:
    """Lay out every tab against the backend behind `client`; nothing is asked before a visitor comes."""
    with gr.Blocks(title=labels.TITLE, analytics_enabled=False, delete_cache=CACHE_S) as page:
        part("header")
        with gr.Tabs(elem_id="pg-tabs"):
            optional = {}
            for name, tab in TABS.items():
                with gr.Tab(name, visible=tab.needs is None) as drawn:
                    later = tab.build(client, page)
                if later:
                    drawn.select(None, outputs=later, js=shown_script(len(later)))
                if tab.needs is not None:
                    optional[tab.needs] = drawn

        def shown() -> Any:
            try:
                offered = client.paths()
            except BackendError:
                # A page that came before its backend shows all; what is not there says so when it is asked.
                offered = frozenset(optional)
            changes = [gr.Tab(visible=path in offered) for path in optional]
            return changes[0] if len(changes) == 1 else changes

        if optional:
            page.load(shown, outputs=list(optional.values()), api_visibility="private")
    return page


def build_server(client: BackendClient, api_key: str = "", host: str = "127.0.0.1", port: int = 7860) -> FastAPI:
    """The page, its files, and the backend behind `/backend/`."""
    relay = Relay(client.url, api_key)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await relay.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_route("/backend/{path:path}", relay.__call__, METHODS)
    app.mount("/page", PageFiles(STATIC, has_hashed_names=False))
    # Gradio would read and pack each anew for every visitor.
    app.mount("/assets", PageFiles(GRADIO_ASSETS, has_hashed_names=True))
    app.add_middleware(FrontPage, lines=head())
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
