"""Chromium for the tests of the page, and an ear in it: every sample that reaches the loudspeakers is written down."""

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
# Nothing but this machine is to be asked.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]
DESKTOP, PHONE = (1280, 1000), (390, 844)
LIMIT_MS = 120_000
MAX_PICTURE_BYTES = 100_000

# Whatever is connected to the loudspeakers is connected to a recorder too. A context starts once its recorder listens.
EAR = """
(() => {
  const recorder = `registerProcessor("ear", class extends AudioWorkletProcessor {
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
  window.ears = {};
  window.AudioContext = class extends Context {
    constructor(options) {
      super(options);
      this.suspend();
      this.ear = this.createGain();
      const heard = window.ears[this.sampleRate] = [];
      this.listening = this.audioWorklet.addModule(url).then(() => {
        const node = new AudioWorkletNode(this, "ear");
        node.port.onmessage = ({ data }) => heard.push(data);
        connect.call(this.ear, node);
        connect.call(node, this.destination);
      }).catch(() => {});  // the page was closed meanwhile
      this.resume();
    }
    resume() { return this.listening.then(() => resume.call(this)).catch(() => {}); }
  };
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode && this.context.ear) connect.call(this, this.context.ear);
    return connect.call(this, target, ...rest);
  };
})();
"""


@contextmanager
def chromium(*arguments):
    """Yields a browser, started with further `arguments`; skips the test where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser here; install one of {', '.join(PROGRAMS)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=[*QUIET, *arguments])
        yield browser
        browser.close()


@contextmanager
def visit(browser, url, size=DESKTOP, scheme="light", context=None):
    """The page as a visitor has it open; fails if its scripts do, or if it asks another machine for anything."""
    own = context or browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, accept_downloads=True
    )
    page = own.new_page()
    page.set_default_timeout(LIMIT_MS)
    page.add_init_script(EAR)
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: _note_stranger(request.url, url, troubles))
    try:
        page.goto(url)
        page.locator("[data-part=header] h1").wait_for()
        yield page
    finally:
        page.close()
        if context is None:
            own.close()
    assert not troubles, troubles


def _note_stranger(asked, own, troubles):
    if not asked.startswith((own, "data:", "blob:")):
        troubles.append(f"asks {asked}")


def open_tab(page, name):
    """Press a tab of the Gradio page, in the menu of those that found no place if it is there."""
    tab = page.get_by_role("tab", name=name)
    if not tab.is_visible():
        page.locator(".overflow-menu > button").click()
        tab = page.locator(".overflow-dropdown").get_by_text(name)
    tab.click()


def crowding():
    """How many times longer work takes now than if this machine did nothing else, at least 1."""
    began_s, worked_s = time.perf_counter(), time.thread_time()
    sum(range(20_000_000))
    return max(1.0, (time.perf_counter() - began_s) / (time.thread_time() - worked_s))


def first_load_s(browser, url, ready):
    """Seconds from asking for the page until `ready(page)` has waited for what a visitor came for, with an empty cache."""
    context = browser.new_context()
    page, began_s = context.new_page(), time.perf_counter()
    page.goto(url, wait_until="commit")
    ready(page)
    took_s = time.perf_counter() - began_s
    context.close()
    return took_s


def hold_first_load(browser, url, ready, bar_s):
    """Print three first loads; on a machine shared with others the best is held to the bar for the share we had."""
    others = crowding()
    took_s = [first_load_s(browser, url, ready) for _ in range(3)]
    others = (others + crowding()) / 2
    print(
        f"first load: {', '.join(f'{one:.2f}' for one in took_s)} s (bar {bar_s} s; others slow us {others:.1f} times)"
    )
    assert min(took_s) < bar_s * others


def keep(page, name, whole=True):
    """Write what the page looks like to the folder that PICTURES names, small enough for a document.

    Not `whole` is what a visitor sees without scrolling.
    """
    folder = os.environ.get("PICTURES")
    if not folder:
        return
    from PIL import Image

    page.mouse.move(1, 1)  # no tab or button looks as if it were pressed, and no hint lies over its neighbors
    page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    for n_colors in (128, 64, 32):
        packed = io.BytesIO()
        picture.convert("RGB").quantize(n_colors, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        if packed.tell() < MAX_PICTURE_BYTES:
            break
    assert packed.tell() < MAX_PICTURE_BYTES
    Path(folder, f"{name}.png").write_bytes(packed.getvalue())


def barriers(page, name, *selectors, besides=()):
    """What keeps people out of the parts that `selectors` name, by the rules of axe: those that are serious or worse.

    Parts within them that `besides` names are left out.
    """
    from axe_playwright_python.sync_playwright import Axe

    # A color on its way to another is neither.
    page.add_style_tag(content="*, *::before, *::after { transition: none !important; animation: none !important; }")
    context = {"include": [[one] for one in selectors], "exclude": [[one] for one in besides]}
    answer = Axe().run(page, context=context).response
    return [
        (name, rule["id"], node["html"][:160], " ".join(node["failureSummary"].split())[:240])
        for rule in answer["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def heard(page, rate_hz):
    """All samples float32 [N] that the loudspeakers got at this rate, silence before, between and after included."""
    # Its blocks come a little later than the sound: the last one is silent when all are there.
    page.wait_for_function(
        "rate => { const blocks = window.ears[rate] ?? []; return blocks.length && blocks.at(-1).every(x => x === 0); }",
        arg=rate_hz,
        polling=100,
    )
    flat = page.evaluate(
        "rate => { const blocks = window.ears[rate] ?? []; const bytes = new Uint8Array(blocks.length * 4096);"
        " blocks.forEach((block, n) => bytes.set(new Uint8Array(block.buffer), n * 4096));"
        " let text = ''; for (let n = 0; n < bytes.length; n += 32768)"
        " text += String.fromCharCode(...bytes.subarray(n, n + 32768)); return btoa(text); }",
        rate_hz,
    )
    return np.frombuffer(base64.b64decode(flat), np.float32)


def inserted_gaps(heard, wanted):
    """Lengths of the silences in `heard` that `wanted` does not have. Raises if a sample is missing or different.

    Both: float32 [N]; silence before and after does not count.
    """
    heard, wanted = np.trim_zeros(heard), np.trim_zeros(wanted)
    gaps, at_heard, at_wanted = [], 0, 0
    while at_wanted < len(wanted):
        n = min(len(heard) - at_heard, len(wanted) - at_wanted)
        assert n > 0, f"the last {len(wanted) - at_wanted} samples were not heard"
        differs = np.flatnonzero(np.abs(heard[at_heard : at_heard + n] - wanted[at_wanted : at_wanted + n]) > 1e-6)
        n_same = int(differs[0]) if len(differs) else n
        at_heard, at_wanted = at_heard + n_same, at_wanted + n_same
        if at_wanted == len(wanted):
            break
        assert at_heard < len(heard), f"the last {len(wanted) - at_wanted} samples were not heard"
        rest = np.flatnonzero(heard[at_heard:])
        n_silent = int(rest[0]) if len(rest) else len(heard) - at_heard
        assert n_silent > 0, f"sample {at_wanted} is another one than the backend sent"
        # A few true zeros of the sound before the break look like a part of it.
        at_heard += n_silent
        n_zeros = int(np.argmax(wanted[at_wanted:] != 0))
        at_wanted += n_zeros
        gaps.append(n_silent - n_zeros)
    return gaps
