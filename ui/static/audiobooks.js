// The Audiobooks tab: long texts as background jobs, played and corrected sentence by sentence.

import { onReady, request, requestJson, openapi, sendJson } from "./backend.js";
import { compare } from "./compare.js";
import { runAction, button, el, mount, saveFile, seconds, t } from "./dom.js";
import { decodeAudio, flacRate } from "./pcm.js";
import { Player } from "./player.js";

const N_SHOWN = 200;

async function loadTake(job, index, take) {
  const blob = await (await request(`jobs/${job}/sentences/${index}/audio?take=${take}`)).blob();
  return decodeAudio(blob, flacRate(new Uint8Array(await blob.arrayBuffer())));
}

mount("audiobooks", (place) => {
  const state = el("p", { class: "pg-state", role: "status" }, "");
  const text = el("textarea", { class: "pg-input pg-grow", rows: "5", "aria-label": t("long_text"), placeholder: t("long_text_hint") });
  const file = el("input", { type: "file", class: "pg-file", accept: ".txt,.md,.epub", "aria-label": t("document") });
  const title = el("input", { type: "text", class: "pg-input", "aria-label": t("job_title"), placeholder: t("job_title") });
  const voice = el("select", { class: "pg-input", "aria-label": t("m_reference") });
  const format = el("select", { class: "pg-input", "aria-label": t("job_format") });
  const jobs = el("ul", { class: "pg-list" });
  const detail = el("section", { class: "pg-card", hidden: true, "aria-label": t("sentences") });
  place.replaceChildren(el("div", { class: "pg-stack" },
    el("section", { class: "pg-card", "aria-label": t("new_job") }, el("h2", {}, t("new_job")), text,
      el("div", { class: "pg-row pg-form" }, file, title, voice, format, button(t("start_job"), (event) => runButton(event.currentTarget, create), { kind: "main" })), state),
    el("section", { class: "pg-card", "aria-label": t("jobs") }, el("h2", {}, t("jobs")), jobs), detail));
  const player = new Player();
  let open = null;
  let events = null;
  let rows = new Map();
  let isPlayingAll = false;
  let playAllButton = null;
  let opened = { n_done: 0, at_ms: 0 };

  const runButton = (pressed, act) => runAction(state, pressed, act);

  async function loadOptions() {
    const specification = await openapi();
    const { components, paths } = specification;
    const schema = paths["/jobs"].post.requestBody.content["application/json"].schema;
    const fields = (schema.$ref ? components.schemas[schema.$ref.split("/").pop()] : schema).properties;
    format.replaceChildren(...(fields.format.enum ?? []).map((name) => el("option", { value: name }, name)));
    const { voices } = await requestJson("voices");
    voice.replaceChildren(el("option", { value: "" }, t("default_voice")), ...voices.map((one) => el("option", { value: one.id }, one.name)));
  }

  async function create() {
    const form = new FormData();
    if (file.files[0]) form.append("document", file.files[0]);
    else if (text.value.trim()) form.append("text", text.value);
    else throw new Error(t("job_needs_text"));
    if (title.value.trim()) form.append("title", title.value.trim());
    if (voice.value) form.append("voice", voice.value);
    form.append("format", format.value);
    const job = await requestJson("jobs", { method: "POST", body: form });
    state.textContent = t("job_started");
    await list();
    await show(job.id);
  }

  async function list() {
    const all = (await requestJson("jobs")).jobs;
    jobs.replaceChildren(...(all.length ? all.map(jobRow) : [el("li", { class: "pg-quiet" }, t("no_jobs"))]));
  }

  function jobRow(job) {
    return el("li", { "data-job": job.id }, el("div", { class: "pg-grow pg-entry" }, el("span", { class: "pg-entry-text" }, job.title || t("untitled")), el("span", { class: "pg-quiet" }, summary(job))),
      button(t("open_job"), () => show(job.id), { kind: "small", "aria-label": `${t("open_job")}: ${job.title}` }),
      button(t("delete"), (event) => runButton(event.currentTarget, () => remove(job)), { kind: "small", "aria-label": `${t("delete")}: ${job.title}` }));
  }

  function summary(job) {
    return [t(`job_${job.state}`), `${job.n_done} / ${job.n_sentences}`, seconds(job.audio_s), job.format, timeLeft(job), job.reason].filter(Boolean).join(" · ");
  }

  /** Returns the estimated time left of the open job, from the sentences finished since it was opened. */
  function timeLeft(job) {
    if (job.id !== open?.id || !["waiting", "speaking"].includes(job.state)) return "";
    const made = job.n_done - opened.n_done;
    if (made < 2) return "";
    return t("time_left", { time: seconds(((performance.now() - opened.at_ms) / 1000 / made) * (job.n_sentences - job.n_done)) });
  }

  async function remove(job) {
    if (!confirm(t("delete_job_confirm", { title: job.title }))) return;
    await request(`jobs/${job.id}`, { method: "DELETE" });
    if (open?.id === job.id) close();
    await list();
  }

  function close() {
    isPlayingAll = false;
    player.pause();
    events?.close();
    open = null;
    detail.hidden = true;
  }

  async function show(id) {
    close();
    open = await requestJson(`jobs/${id}?limit=${N_SHOWN}`);
    opened = { n_done: open.n_done, at_ms: performance.now() };
    rows = new Map(open.sentences.map((sentence) => [sentence.index, sentenceRow(sentence)]));
    drawDetail();
    detail.hidden = false;
    events = new EventSource(`/backend/jobs/${id}/events`);
    events.addEventListener("sentence", (event) => {
      const sentence = JSON.parse(event.data);
      if (rows.has(sentence.index)) replaceRow(sentence);
    });
    events.addEventListener("job", (event) => {
      Object.assign(open, JSON.parse(event.data));
      drawHead();
      if (["done", "cancelled", "failed"].includes(open.state)) events.close();
    });
  }

  const head = el("div");

  function drawDetail() {
    const more = open.n_sentences > rows.size && button(t("more_sentences", { n: open.n_sentences - rows.size }), (event) => runButton(event.currentTarget, loadMore), { kind: "small" });
    let chapter = null;
    const parts = [...rows].flatMap(([index, row]) => {
      const { chapter: own } = open.sentences.find((one) => one.index === index) ?? {};
      const title = own !== chapter && open.chapters?.[own]?.title;
      chapter = own;
      return title ? [el("li", { class: "pg-chapter" }, el("h3", {}, title)), row] : [row];
    });
    detail.replaceChildren(head, el("ol", { class: "pg-sentences" }, parts), more || "");
    drawHead();
  }

  async function loadMore() {
    const next = await requestJson(`jobs/${open.id}?first=${rows.size}&limit=${N_SHOWN}`);
    open.sentences.push(...next.sentences);
    for (const sentence of next.sentences) rows.set(sentence.index, sentenceRow(sentence));
    drawDetail();
  }

  function drawHead() {
    const act = (name, kind) => button(t(`do_${name}`), (event) => runButton(event.currentTarget, async () => {
      Object.assign(open, await requestJson(`jobs/${open.id}/${name}`, { method: "POST" }));
      await show(open.id);
      await list();
    }), { kind });
    const isEnded = ["done", "cancelled", "failed"].includes(open.state);
    head.replaceChildren(el("div", { class: "pg-row" }, el("h2", {}, open.title || t("untitled")), el("span", { class: "pg-grow" }),
      !isEnded && open.state !== "paused" && act("pause", "small"), open.state === "paused" && act("resume", "small"), !isEnded && act("cancel", "small"),
      open.n_done > 0 && (playAllButton = button(t(isPlayingAll ? "stop_playing" : "play_all"), () => playAll(), { kind: "small" })),
      open.file_bytes > 0 && button(t("download"), (event) => runButton(event.currentTarget, async () => saveFile(await (await request(`jobs/${open.id}/audio`)).blob(), `${open.title || "speech"}.${open.format}`)), { kind: "main" })),
      el("p", { class: "pg-quiet", role: "status" }, summary(open)),
      el("progress", { max: String(open.n_sentences || 1), value: String(open.n_done), "aria-label": t("progress") }));
    const skipped = open.sentences.filter((one) => one.state === "skipped");
    if (skipped.length) head.append(el("p", { class: "pg-note" }, t("skipped_sentences", { n: skipped.length, list: skipped.map((one) => one.index + 1).join(", ") })));
    const row = jobs.querySelector(`[data-job="${open.id}"]`);
    row?.replaceWith(jobRow(open));
  }

  function replaceRow(sentence) {
    const known = open.sentences.findIndex((one) => one.index === sentence.index);
    if (known >= 0) open.sentences[known] = sentence;
    const row = sentenceRow(sentence);
    rows.get(sentence.index).replaceWith(row);
    rows.set(sentence.index, row);
  }

  async function choose(index, take) {
    replaceRow(await sendJson("POST", `jobs/${open.id}/sentences/${index}/choose`, { take }));
  }

  async function regenerate(sentence) {
    const take = await sendJson("POST", `jobs/${open.id}/sentences/${sentence.index}/takes`, {});
    await choose(sentence.index, take.take);
    await play(sentence.index, take.take);
  }

  async function play(index, take) {
    const sound = await loadTake(open.id, index, take);
    player.begin(sound.rateHz, sound.nChannels);
    player.push(sound.samples);
    player.finish();
  }

  /** Play the finished sentences one after the other from the first shown; a second press stops. */
  async function playAll() {
    isPlayingAll = !isPlayingAll;
    playAllButton.textContent = t(isPlayingAll ? "stop_playing" : "play_all");
    if (!isPlayingAll) return player.pause();
    const job = open.id;
    for (const { index } of [...open.sentences]) {
      const sentence = open?.id === job && open.sentences.find((one) => one.index === index);
      if (!isPlayingAll || !sentence) break;
      if (sentence.state !== "done") continue;
      rows.get(index).classList.add("pg-playing");
      rows.get(index).scrollIntoView({ block: "nearest" });
      await play(index, sentence.take).catch((error) => (state.textContent = error.message));
      await new Promise((resolve) => {
        const ended = () => {
          if (player.shouldPlay) return;
          player.removeEventListener("change", ended);
          resolve();
        };
        player.addEventListener("change", ended);
        ended();
      });
      rows.get(index)?.classList.remove("pg-playing");
      // Paused by another player or by the reader.
      if (player.position < player.duration) break;
    }
    isPlayingAll = false;
    playAllButton.textContent = t("play_all");
  }

  /** Replace a sentence's row by an editor; saving generates the new text as a take and chooses it. */
  function edit(sentence) {
    const field = el("textarea", { class: "pg-input", rows: "3", "aria-label": t("edit_sentence", { n: sentence.index + 1 }) });
    field.value = sentence.text;
    const save = button(t("save_and_generate"), (event) => runButton(event.currentTarget, async () => {
      if (!field.value.trim()) throw new Error(t("empty"));
      const take = await sendJson("POST", `jobs/${open.id}/sentences/${sentence.index}/takes`, { text: field.value.trim() });
      await choose(sentence.index, take.take);
      await play(sentence.index, take.take);
    }), { kind: "main" });
    const row = el("li", { class: "pg-sentence" }, el("div", { class: "pg-grow" }, field, el("div", { class: "pg-row pg-form" }, save, button(t("cancel_edit"), () => replaceRow(sentence), { kind: "small" }))));
    rows.get(sentence.index).replaceWith(row);
    rows.set(sentence.index, row);
    field.focus();
  }

  async function compareTakes(sentence) {
    const rest = sentence.takes.filter((take) => take.take !== sentence.take && take.state === "done");
    const pair = [sentence.takes[sentence.take], rest.at(-1)];
    const takes = await Promise.all(pair.map(async (take) => ({ take: take.take, name: t("take_name", { n: take.take + 1, seed: take.seed }), sound: await loadTake(open.id, sentence.index, take.take) })));
    const preferred = await compare(takes);
    if (preferred) await choose(sentence.index, preferred.take);
  }

  function sentenceRow(sentence) {
    const done = sentence.takes.filter((take) => take.state === "done");
    const name = `${sentence.index + 1}`;
    const act = (label, run, options = {}) => button(label, (event) => runButton(event.currentTarget, run), { kind: "small", "aria-label": `${label}: ${name}`, ...options });
    return el("li", { class: `pg-sentence pg-is-${sentence.state}` },
      button(`${t("play")} ${name}`, (event) => runButton(event.currentTarget, () => play(sentence.index, sentence.take)), { kind: "round", iconName: "play", disabled: sentence.state !== "done" }),
      el("div", { class: "pg-grow" }, el("p", {}, sentence.text), el("span", { class: "pg-quiet" }, sentence.state === "done" ? `${seconds(sentence.duration_s)} · ${t("take_name", { n: sentence.take + 1, seed: sentence.seed })}` : `${t(`is_${sentence.state}`)} ${sentence.reason}`)),
      ["done", "skipped"].includes(sentence.state) && el("div", { class: "pg-row" },
        act(t("edit"), () => edit(sentence)),
        act(t("regenerate"), () => regenerate(sentence)),
        sentence.take > 0 && act(t("undo"), () => choose(sentence.index, sentence.take - 1)),
        sentence.take < sentence.takes.length - 1 && sentence.takes[sentence.take + 1].state === "done" && act(t("redo"), () => choose(sentence.index, sentence.take + 1)),
        done.length > 1 && act(t("compare"), () => compareTakes(sentence))));
  }

  document.addEventListener("pg-hand-over", () => {
    text.value = window.phonogram.handedOver ?? text.value;
    text.focus();
  });
  if (window.phonogram?.handedOver) text.value = window.phonogram.handedOver;
  onReady(() => runButton(place, async () => {
    await loadOptions();
    await list();
  }));
});
