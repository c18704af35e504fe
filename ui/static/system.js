// The state of the backend, live: health, load, caches, what was switched on for speed and why, recent requests.

import { askJson, offers, sendJson } from "./backend.js";
import { button, el, mount, word } from "./dom.js";

const EVERY_MS = 2000;
const [N_POINTS, MIN_POINTS] = [90, 10];

/** A line that moves on with every reading, drawn over a soft area. */
class Chart {
  constructor(name, unit, top = null) {
    Object.assign(this, { unit, top, values: [] });
    this.now = el("b", {}, "–");
    this.canvas = el("canvas", { role: "img", "aria-label": name });
    this.part = el("figure", { class: "pg-chart" }, el("figcaption", {}, el("span", {}, name), this.now), this.canvas);
  }

  push(value, top = this.top) {
    if (!Number.isFinite(value)) return;
    this.values = [...this.values, value].slice(-N_POINTS);
    this.now.textContent = `${value >= 100 ? Math.round(value) : value.toFixed(1)} ${this.unit}`;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [width * scale, height * scale];
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const highest = Math.max(top ?? 0, ...this.values) || 1;
    const style = getComputedStyle(document.body);
    const step = width / (Math.max(this.values.length, MIN_POINTS) - 1);
    const at = (n) => [width - (this.values.length - 1 - n) * step, height - 2 - (this.values[n] / highest) * (height - 6)];
    pen.beginPath();
    this.values.forEach((_, n) => pen.lineTo(...at(n)));
    pen.strokeStyle = style.getPropertyValue("--pg-accent");
    pen.lineWidth = 1.75;
    pen.lineJoin = "round";
    pen.stroke();
    pen.lineTo(width, height);
    pen.lineTo(at(0)[0], height);
    pen.closePath();
    pen.fillStyle = style.getPropertyValue("--pg-accent-soft");
    pen.fill();
  }
}

function table(heads, rows) {
  return el("div", { class: "pg-scroll", tabindex: "0", role: "region", "aria-label": heads[0] }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell)))))));
}

function pairs(rows) {
  return el("dl", { class: "pg-pairs" }, rows.filter(([, value]) => value !== undefined && value !== null && value !== "").map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
}

/** "off: int8 (lm): why" in its three parts. */
function optimization(note) {
  const [, state, name, why] = note.match(/^(on|off): ([^:]+): (.*)$/s) ?? [null, "", note, ""];
  // Long names may break behind their underscores, so that the table fits a phone.
  const breakable = (text) => text.split(/(?<=_)/).flatMap((part) => [part, el("wbr")]);
  return [state && el("span", { class: `pg-badge pg-badge-${state}` }, word(`is_${state}`)), breakable(name), breakable(why)];
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

mount("system", (place) => {
  const state = el("p", { class: "pg-state", role: "status" }, word("asking"));
  const health = el("div");
  const charts = {
    cpu: new Chart(word("chart_cpu"), "%", 100), memory: new Chart(word("chart_memory"), "MB"), open: new Chart(word("chart_open"), "", 1),
    card: new Chart(word("chart_card"), "%", 100), cardMemory: new Chart(word("chart_card_memory"), "MB"),
  };
  const [caches, optimizations, requests] = [el("div"), el("div"), el("div")];
  const cleared = el("span", { class: "pg-quiet", role: "status" });
  const clearing = button(word("clear_caches"), async () => {
    clearing.disabled = true;
    try {
      const answer = await sendJson("POST", "cache/clear", {});
      cleared.textContent = word("cleared", { n: Object.values(answer.cleared).reduce((sum, n) => sum + n, 0) });
      await look();
    } catch (error) {
      cleared.textContent = error.message;
    } finally {
      clearing.disabled = false;
    }
  }, { kind: "small" });
  const section = (name, ...parts) => el("section", { class: "pg-card", "aria-label": word(name) }, parts);
  place.replaceChildren(el("div", { class: "pg-stack" },
    section("health", el("h2", {}, word("health")), state, health),
    section("load", el("h2", {}, word("load")), el("div", { class: "pg-charts" }, Object.values(charts).map(({ part }) => part))),
    section("caches", el("div", { class: "pg-row" }, el("h2", {}, word("caches")), el("span", { class: "pg-grow" }), cleared, clearing), caches),
    section("optimizations", el("h2", {}, word("optimizations")), optimizations),
    section("requests", el("h2", {}, word("requests")), requests)));
  charts.card.part.hidden = charts.cardMemory.part.hidden = true;
  let shownNotes = "";

  async function look() {
    try {
      const [alive, metrics] = await Promise.all([askJson("health"), askJson("metrics?format=json")]);
      const engine = metrics.engine ?? {};
      state.textContent = word("is_up");
      state.classList.remove("pg-bad");
      health.replaceChildren(pairs([
        [word("h_model"), engine.model], [word("h_codec"), engine.codec && `${engine.codec}, ${engine.sample_rate_hz / 1000} kHz, ${engine.frame_rate_hz} ${word("frames_a_second")}`],
        [word("h_device"), `${alive.device} (${alive.device_name})`], [word("h_why"), alive.device_reason],
        [word("h_torch"), `${alive.torch_version}, ${word("threads", { n: alive.torch_threads })}`],
        [word("h_version"), alive.version], [word("h_up"), duration(alive.uptime_s)],
        [word("h_rtf"), engine.counts?.rtf?.count ? engine.counts.rtf.p50?.toFixed(2) : null],
        [word("h_first"), engine.counts?.first_audio_s?.count ? `${Math.round(engine.counts.first_audio_s.p50 * 1000)} ms` : null],
      ]));
      charts.cpu.push(engine.process?.cpu_percent, 100);
      charts.memory.push(engine.process?.memory_mb ?? metrics.process_resident_memory_bytes / 1e6);
      charts.open.push(metrics.phonogram_open_speeches, 1);
      const card = engine.card;
      charts.card.part.hidden = charts.cardMemory.part.hidden = !card;
      if (card) {
        charts.card.push(card.load_percent, 100);
        charts.cardMemory.push(card.memory_used_mb, card.memory_total_mb);
      }
      caches.replaceChildren(table([word("cache"), word("entries"), word("size"), word("hit_rate")],
        Object.entries(engine.caches ?? {}).map(([name, cache]) => [name, `${cache.entries} / ${cache.max_entries ?? "–"}`, cache.size_bytes === undefined ? "–" : megabytes(cache.size_bytes),
          cache.hits + cache.misses ? `${Math.round(100 * cache.hit_rate)} %` : "–"])));
      if (shownNotes !== String(engine.notes)) {
        shownNotes = String(engine.notes);
        optimizations.replaceChildren(table([word("state"), word("optimization"), word("why")], (engine.notes ?? []).map(optimization)));
      }
    } catch (error) {
      state.textContent = error.message;
      state.classList.add("pg-bad");
    }
    await lookAtRequests();
  }

  async function lookAtRequests() {
    if (!(await offers("get", "/requests"))) {
      requests.replaceChildren(el("p", { class: "pg-quiet" }, word("no_requests_kept")));
      return;
    }
    const answer = await askJson("requests?limit=12").catch(() => ({ requests: [] }));
    const number = (value, digits, unit = "") => (Number.isFinite(value) ? value.toFixed(digits) + unit : "–");
    requests.replaceChildren(table(["id", "door", "voice", "length", "first", "rtf", "waited", "end"].map((name) => word(`r_${name}`)),
      answer.requests.map((one) => [one.id, one.door, one.voice ?? "–", number(one.audio_s, 1, " s"), number(one.first_audio_s * 1000, 0, " ms"), number(one.rtf, 2), number(one.queue_s * 1000, 0, " ms"), one.finish ?? one.status ?? "–"])));
  }

  // A tab nobody looks at asks nothing.
  const tick = async () => {
    if (!place.isConnected) return;
    if (place.offsetParent !== null && !document.hidden) await look();
    setTimeout(tick, EVERY_MS);
  };
  setTimeout(tick);
});

function duration(value_s) {
  const [hours, minutes] = [Math.floor(value_s / 3600), Math.floor((value_s % 3600) / 60)];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(value_s % 60)} s` : `${Math.floor(value_s)} s`;
}
