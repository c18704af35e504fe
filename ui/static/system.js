// The System tab: live health, load, caches, optimizations with their reasons, and recent requests.

import { requestJson, hasEndpoint, sendJson } from "./backend.js";
import { button, el, mount, t } from "./dom.js";
import { nameOf } from "./voice_cards.js";

const REFRESH_MS = 2000;
const [N_POINTS, MIN_POINTS] = [90, 10];

/** A scrolling line chart with a filled area. */
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
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    const highest = Math.max(top ?? 0, ...this.values) || 1;
    const style = getComputedStyle(document.body);
    const step = width / (Math.max(this.values.length, MIN_POINTS) - 1);
    const at = (n) => [width - (this.values.length - 1 - n) * step, height - 2 - (this.values[n] / highest) * (height - 6)];
    context.beginPath();
    this.values.forEach((_, n) => context.lineTo(...at(n)));
    context.strokeStyle = style.getPropertyValue("--pg-accent");
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(width, height);
    context.lineTo(at(0)[0], height);
    context.closePath();
    context.fillStyle = style.getPropertyValue("--pg-accent-soft");
    context.fill();
  }
}

function table(heads, rows) {
  return el("div", { class: "pg-scroll", tabindex: "0", role: "region", "aria-label": heads[0] }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell)))))));
}

function pairs(rows) {
  return el("dl", { class: "pg-pairs" }, rows.filter(([, value]) => value !== undefined && value !== null && value !== "").map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
}

/** Splits "off: int8 (lm): reason" into its three parts. */
function optimization(note) {
  const [, state, name, why] = note.match(/^(on|off): ([^:]+): (.*)$/s) ?? [null, "", note, ""];
  // Names may break after underscores, so that the table fits a phone.
  const breakable = (text) => text.split(/(?<=_)/).flatMap((part) => [part, el("wbr")]);
  return [state && el("span", { class: `pg-badge pg-badge-${state}` }, t(`is_${state}`)), breakable(name), breakable(why)];
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

mount("system", (place) => {
  const state = el("p", { class: "pg-state", role: "status" }, t("connecting"));
  const health = el("div");
  const charts = {
    cpu: new Chart(t("chart_cpu"), "%", 100), memory: new Chart(t("chart_memory"), "MB"), open: new Chart(t("chart_active"), "", 1),
    gpu: new Chart(t("chart_gpu"), "%", 100), gpuMemory: new Chart(t("chart_gpu_memory"), "MB"),
  };
  const [caches, optimizations, requests] = [el("div"), el("div"), el("div")];
  const cleared = el("span", { class: "pg-quiet", role: "status" });
  const clearButton = button(t("clear_caches"), async () => {
    clearButton.disabled = true;
    try {
      const result = await sendJson("POST", "cache/clear", {});
      cleared.textContent = t("cleared", { n: Object.values(result.cleared).reduce((sum, n) => sum + n, 0) });
      await refresh();
    } catch (error) {
      cleared.textContent = error.message;
    } finally {
      clearButton.disabled = false;
    }
  }, { kind: "small" });
  const section = (name, ...parts) => el("section", { class: "pg-card", "aria-label": t(name) }, parts);
  place.replaceChildren(el("div", { class: "pg-stack" },
    section("health", el("h2", {}, t("health")), state, health),
    section("load", el("h2", {}, t("load")), el("div", { class: "pg-charts" }, Object.values(charts).map(({ part }) => part))),
    section("caches", el("div", { class: "pg-row" }, el("h2", {}, t("caches")), el("span", { class: "pg-grow" }), cleared, clearButton), caches),
    section("optimizations", el("h2", {}, t("optimizations")), optimizations),
    section("requests", el("h2", {}, t("requests")), requests)));
  charts.gpu.part.hidden = charts.gpuMemory.part.hidden = true;
  let shownNotes = "";

  async function refresh() {
    try {
      const [status, metrics] = await Promise.all([requestJson("health"), requestJson("metrics?format=json")]);
      const engine = metrics.engine ?? {};
      state.textContent = t("is_up");
      state.classList.remove("pg-bad");
      health.replaceChildren(pairs([
        [t("h_model"), engine.model], [t("h_codec"), engine.codec && `${engine.codec}, ${engine.sample_rate_hz / 1000} kHz, ${engine.frame_rate_hz} ${t("frames_per_second")}`],
        [t("h_device"), `${status.device} (${status.device_name})`], [t("h_why"), status.device_reason],
        [t("h_torch"), `${status.torch_version}, ${t("threads", { n: status.torch_threads })}`],
        [t("h_version"), status.version], [t("h_up"), duration(status.uptime_s)],
        [t("h_rtf"), engine.counts?.rtf?.count ? engine.counts.rtf.p50?.toFixed(2) : null],
        [t("h_first"), engine.counts?.first_audio_s?.count ? `${Math.round(engine.counts.first_audio_s.p50 * 1000)} ms` : null],
      ]));
      charts.cpu.push(engine.process?.cpu_percent, 100);
      charts.memory.push(engine.process?.memory_mb ?? metrics.process_resident_memory_bytes / 1e6);
      charts.open.push(metrics.phonogram_open_speeches, 1);
      const gpu = engine.card;
      charts.gpu.part.hidden = charts.gpuMemory.part.hidden = !gpu;
      if (gpu) {
        charts.gpu.push(gpu.load_percent, 100);
        charts.gpuMemory.push(gpu.memory_used_mb, gpu.memory_total_mb);
      }
      caches.replaceChildren(table([t("cache"), t("entries"), t("size"), t("hit_rate")],
        Object.entries(engine.caches ?? {}).map(([name, cache]) => [name, `${cache.entries} / ${cache.max_entries ?? "–"}`, cache.size_bytes === undefined ? "–" : megabytes(cache.size_bytes),
          cache.hits + cache.misses ? `${Math.round(100 * cache.hit_rate)} %` : "–"])));
      if (shownNotes !== String(engine.notes)) {
        shownNotes = String(engine.notes);
        optimizations.replaceChildren(table([t("state"), t("optimization"), t("why")], (engine.notes ?? []).map(optimization)));
      }
    } catch (error) {
      state.textContent = error.message;
      state.classList.add("pg-bad");
    }
    await refreshRequests();
  }

  async function refreshRequests() {
    if (!(await hasEndpoint("get", "/requests"))) {
      requests.replaceChildren(el("p", { class: "pg-quiet" }, t("no_request_history")));
      return;
    }
    const recent = await requestJson("requests?limit=12").catch(() => ({ requests: [] }));
    const number = (value, digits, unit = "") => (Number.isFinite(value) ? value.toFixed(digits) + unit : "–");
    requests.replaceChildren(table(["id", "endpoint", "voice", "length", "first_audio", "rtf", "queue", "result"].map((name) => t(`r_${name}`)),
      recent.requests.map((one) => [one.id, one.door, one.voice ? nameOf(one.voice) : "–", number(one.audio_s, 1, " s"), number(one.first_audio_s * 1000, 0, " ms"), number(one.rtf, 2), number(one.queue_s * 1000, 0, " ms"), t(`result_${one.status}`)])));
  }

  // A hidden tab sends no requests.
  const tick = async () => {
    if (!place.isConnected) return;
    if (place.offsetParent !== null && !document.hidden) await refresh();
    setTimeout(tick, REFRESH_MS);
  };
  setTimeout(tick);
});

function duration(value_s) {
  const [hours, minutes] = [Math.floor(value_s / 3600), Math.floor((value_s % 3600) / 60)];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(value_s % 60)} s` : `${Math.floor(value_s)} s`;
}
