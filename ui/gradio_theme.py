"""The theme of the Gradio page, and the scripts and styles it loads beside Gradio's own."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import gradio as gr

from ui import labels

STATIC = Path(__file__).parent / "static"

# One accent color, pine green; everything else is a warm gray.
ACCENT = gr.themes.Color(
    name="pine", c50="#eef7f4", c100="#d5ebe4", c200="#aed8ca", c300="#7fc2ad", c400="#4fa88e", c500="#2f8a72",
    c600="#1f6f5b", c700="#1a5a4b", c800="#17483d", c900="#143b33", c950="#0a211d",
)  # fmt: skip
GRAY = gr.themes.Color(
    name="stone", c50="#faf9f7", c100="#f3f1ed", c200="#e6e3dd", c300="#d3cfc7", c400="#a39e94", c500="#746f66",
    c600="#57534b", c700="#403d37", c800="#292723", c900="#1d1b19", c950="#141312",
)  # fmt: skip

# System fonts: nothing is loaded from the network.
THEME = gr.themes.Base(
    primary_hue=ACCENT, secondary_hue=ACCENT, neutral_hue=GRAY, radius_size=gr.themes.sizes.radius_lg,
    font=["system-ui", "-apple-system", "Segoe UI", "sans-serif"], font_mono=["ui-monospace", "Consolas", "monospace"],
).set(
    body_background_fill="#f7f5f1", body_background_fill_dark="#161514",
    body_text_color="#26241f", body_text_color_dark="#ece8e1",
    body_text_color_subdued="#67625a", body_text_color_subdued_dark="#a8a297",
    background_fill_primary="#fffefc", background_fill_primary_dark="#1e1d1b",
    background_fill_secondary="#f3f1ed", background_fill_secondary_dark="#191816",
    block_background_fill="#fffefc", block_background_fill_dark="#1e1d1b",
    block_border_color="#e6e3dd", block_border_color_dark="#33302b", block_border_width="1px",
    block_shadow="none", block_shadow_dark="none", block_label_background_fill="transparent",
    block_label_background_fill_dark="transparent", block_label_border_width="0", block_label_border_width_dark="0",
    block_label_text_color="#57534b", block_label_text_color_dark="#b9b3a8",
    block_title_text_color="#57534b", block_title_text_color_dark="#b9b3a8", block_title_text_weight="550",
    block_info_text_color="#67625a", block_info_text_color_dark="#a8a297",
    border_color_primary="#e6e3dd", border_color_primary_dark="#33302b",
    input_background_fill="#fffefc", input_background_fill_dark="#191816",
    input_border_color="#d3cfc7", input_border_color_dark="#403d37", input_border_width="1px",
    input_border_color_focus="#1f6f5b", input_border_color_focus_dark="#7fc2ad",
    input_placeholder_color="#746f66", input_placeholder_color_dark="#8f897e", input_shadow="none",
    input_shadow_focus="0 0 0 3px #1f6f5b26", input_shadow_focus_dark="0 0 0 3px #7fc2ad33",
    color_accent="#1f6f5b", color_accent_soft="#eef7f4", color_accent_soft_dark="#1c2f2a",
    border_color_accent="#1f6f5b", border_color_accent_dark="#7fc2ad", slider_color="#1f6f5b",
    slider_color_dark="#7fc2ad", button_primary_background_fill="#1f6f5b", button_primary_background_fill_hover="#185a4a",
    button_primary_background_fill_dark="#7fc2ad", button_primary_background_fill_hover_dark="#98d0bf",
    button_primary_text_color="#ffffff", button_primary_text_color_dark="#10201c",
    button_primary_border_color="transparent", button_primary_border_color_dark="transparent",
    button_secondary_background_fill="#fffefc", button_secondary_background_fill_hover="#f3f1ed",
    button_secondary_background_fill_dark="#242220", button_secondary_background_fill_hover_dark="#2e2b28",
    button_secondary_border_color="#d3cfc7", button_secondary_border_color_dark="#403d37", button_border_width="1px",
    button_secondary_text_color="#403d37", button_secondary_text_color_dark="#ddd8ce",
    checkbox_background_color_selected="#1f6f5b", checkbox_background_color_selected_dark="#4fa88e",
    checkbox_border_color_selected="#1f6f5b", checkbox_border_color_selected_dark="#4fa88e",
    checkbox_border_color="#8a847a", checkbox_border_color_dark="#857f74",
    checkbox_label_background_fill="transparent", checkbox_label_background_fill_dark="transparent",
    checkbox_label_border_width="0",
)  # fmt: skip


def head() -> str:
    """Return the lines for the page's head: the style sheet, the labels, the scripts."""
    # "</" would end the element early.
    texts = json.dumps(labels.SCRIPT, ensure_ascii=False).replace("</", "<\\/")
    # Preloading fetches them in parallel; otherwise each is found only when its importer has loaded.
    scripts = sorted(path.name for path in STATIC.glob("*.js"))
    return (
        '<link rel="preload" as="style" href="/page/page.css">'
        f'<script type="application/json" id="pg-labels">{texts}</script>'
        + "".join(f'<link rel="modulepreload" href="/page/{name}">' for name in scripts)
        + '<script type="module" src="/page/page.js"></script>'
    )


def placeholder(name: str) -> gr.HTML:
    """Return a placeholder that the page's scripts fill; `name` identifies it."""
    return gr.HTML(f'<div data-part="{name}"></div>', apply_default_css=False, padding=False)


def hint(text: str) -> gr.HTML:
    """Return a line of explanation as plain text."""
    return gr.HTML(f'<p class="pg-hint">{escape(text)}</p>', apply_default_css=False, padding=False)


def show_script(n_components: int) -> str:
    """Return a JavaScript function that makes `n_components` components visible without a request."""
    return f"() => Array.from({{ length: {n_components} }}, () => ({{ __type__: 'update', visible: true }}))"
