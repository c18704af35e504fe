"""Chromium for browser tests, with a recorder of every sample that reaches the audio output."""

import base64
import io
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# No requests to other hosts.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]
DESKTOP, PHONE = (1280, 1000), (390, 844)
LIMIT_MS = 120_000
MAX_PICTURE_BYTES = 100_000

# Everything connected to the audio output is also connected to a recorder. A context starts once its recorder runs.
RECORDER = """
(() => {
  const recorder = `registerProcessor("recorder", class extends AudioWorkletProcessor {
    constructor() { super(); this.kept = new Float32Array(1024); this.fill = 0; }
    process([input]) {
      for (let n = 0; n < 128; n++) this.kept[this.fill + n] = input[0] ? input[0][n] : 0;
      this.fill += 128;
      if (this.fill === 1024) { this.port.postMessage(this.kept); this.kept = new Float32Array(1024); this.fill = 0; }
      return true;
    }
  });`;
  const url = URL.createObjectURL(new Blob([recorder], { type: "text/javascript" }));
  const Context = window.AudioContext, resume = Context.prototype.resume, connect = AudioNode.prototype.connect;
  window.recordings = {};
  window.AudioContext = class extends Context {
    constructor(options) {
      super(options);
      this.suspend();
      this.recorder = this.createGain();
      const blocks = window.recordings[this.sampleRate] = [];
      this.recording = this.audioWorklet.addModule(url).then(() => {
        const node = new AudioWorkletNode(this, "recorder");
        node.port.onmessage = ({ data }) => blocks.push(data);
        connect.call(this.recorder, node);
        connect.call(node, this.destination);
      }).catch(() => {});  // the page was closed
      this.resume();
    }
    resume() { return this.recording.then(() => resume.call(this)).catch(() => {}); }
  };
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode && this.context.recorder) connect.call(this, this.context.recorder);
    return connect.call(this, target, ...rest);
  };
})();
"""


@contextmanager
def chromium(*arguments):
    """Yield a browser started with `arguments`; skips the test if none is installed."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser here; install one of {', '.join(PROGRAMS)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=[*FLAGS, *arguments])
        yield browser
        browser.close()


@contextmanager
def visit(browser, url, size=DESKTOP, scheme="light", context=None):
    """Open the page; fails on JavaScript errors and on requests to other hosts."""
    own = context or browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, accept_downloads=True
    )
    page = own.new_page()
    page.set_default_timeout(LIMIT_MS)
    page.add_init_script(RECORDER)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: _note_foreign_request(request.url, url, errors))
    try:
        page.goto(url)
        page.locator("[data-part=header] h1").wait_for()
        yield page
    finally:
        page.close()
        if context is None:
            own.close()
    assert not errors, errors


def _note_foreign_request(requested, own, errors):
    if not requested.startswith((own, "data:", "blob:")):
        errors.append(f"requests {requested}")


def open_tab(page, name):
    """Click a tab of the Gradio page, in the overflow menu if it is there."""
    tab = page.get_by_role("tab", name=name)
    if not tab.is_visible():
        page.locator(".overflow-menu > button").click()
        tab = page.locator(".overflow-dropdown").get_by_text(name)
    tab.click()


def load_factor():
    """Return how many times longer work takes now than on an idle machine, at least 1."""
    began_s, worked_s = time.perf_counter(), time.thread_time()
    sum(range(20_000_000))
    return max(1.0, (time.perf_counter() - began_s) / (time.thread_time() - worked_s))


def first_load_s(browser, url, ready):
    """Return seconds from navigation until `ready(page)` returns, with an empty cache."""
    context = browser.new_context()
    page, began_s = context.new_page(), time.perf_counter()
    page.goto(url, wait_until="commit")
    ready(page)
    took_s = time.perf_counter() - began_s
    context.close()
    return took_s


def check_first_load(browser, url, ready, limit_s):
    """Check the best of three first loads against the limit, scaled by the load of the machine."""
    factor = load_factor()
    took_s = [first_load_s(browser, url, ready) for _ in range(3)]
    factor = (factor + load_factor()) / 2
    print(f"first load: {', '.join(f'{one:.2f}' for one in took_s)} s (limit {limit_s} s; load factor {factor:.1f})")
    assert min(took_s) < limit_s * factor


def save_screenshot(page, name, whole=True):
    """Save a screenshot to the folder PICTURES, small enough for documentation.

    `whole` includes the parts below the fold.
    """
    folder = os.environ.get("PICTURES")
    if not folder:
        return
    from PIL import Image

    page.mouse.move(1, 1)  # no hover states or tooltips
    page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    for n_colors in (128, 64, 32):
        packed = io.BytesIO()
        picture.convert("RGB").quantize(n_colors, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        if packed.tell() < MAX_PICTURE_BYTES:
            break
    assert packed.tell() < MAX_PICTURE_BYTES
    Path(folder, f"{name}.png").write_bytes(packed.getvalue())


def accessibility_violations(page, name, *selectors, excluded=()):
    """Return serious and critical axe violations in the elements of `selectors`, without those of `excluded`."""
    from axe_playwright_python.sync_playwright import Axe

    # A color in transition has no defined contrast.
    page.add_style_tag(content="*, *::before, *::after { transition: none !important; animation: none !important; }")
    context = {"include": [[one] for one in selectors], "exclude": [[one] for one in excluded]}
    result = Axe().run(page, context=context).response
    return [
        (name, rule["id"], node["html"][:160], " ".join(node["failureSummary"].split())[:240])
        for rule in result["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def played_samples(page, rate_hz):
    """Return all samples float32 [N] played at this rate, including silence before, between and after."""
    # Recorded blocks arrive with a delay: when the last one is silent, all have arrived.
    page.wait_for_function(
        "rate => { const blocks = window.recordings[rate] ?? []; return blocks.length && blocks.at(-1).every(x => x === 0); }",
        arg=rate_hz,
        polling=100,
    )
    flat = page.evaluate(
        "rate => { const blocks = window.recordings[rate] ?? []; const bytes = new Uint8Array(blocks.length * 4096);"
        " blocks.forEach((block, n) => bytes.set(new Uint8Array(block.buffer), n * 4096));"
        " let text = ''; for (let n = 0; n < bytes.length; n += 32768)"
        " text += String.fromCharCode(...bytes.subarray(n, n + 32768)); return btoa(text); }",
        rate_hz,
    )
    return np.frombuffer(base64.b64decode(flat), np.float32)


def inserted_gaps(played, expected):
    """Return the lengths of silences in `played` that are not in `expected`. Raises if a sample is missing or differs.

    Both: float32 [N]; silence before and after is ignored.
    """
    played, expected = np.trim_zeros(played), np.trim_zeros(expected)
    gaps, at_played, at_expected = [], 0, 0
    while at_expected < len(expected):
        n = min(len(played) - at_played, len(expected) - at_expected)
        assert n > 0, f"the last {len(expected) - at_expected} samples were not heard"
        differs = np.flatnonzero(
            np.abs(played[at_played : at_played + n] - expected[at_expected : at_expected + n]) > 1e-6
        )
        n_same = int(differs[0]) if len(differs) else n
        at_played, at_expected = at_played + n_same, at_expected + n_same
        if at_expected == len(expected):
            break
        assert at_played < len(played), f"the last {len(expected) - at_expected} samples were not heard"
        rest = np.flatnonzero(played[at_played:])
        n_silent = int(rest[0]) if len(rest) else len(played) - at_played
        assert n_silent > 0, f"sample {at_expected} differs from the backend's"
        # Zeros of the audio right before the gap cannot be told from it.
        at_played += n_silent
        n_zeros = int(np.argmax(expected[at_expected:] != 0))
        at_expected += n_zeros
        gaps.append(n_silent - n_zeros)
    return gaps
