// Long texts as jobs of the backend, heard and corrected sentence by sentence.

import { ask, askJson, description, sendJson } from "./backend.js";
import { compare } from "./compare.js";
import { attempt, button, el, mount, saveFile, seconds, word } from "./dom.js";
import { decoded, flacRate } from "./pcm.js";
import { Player } from "./player.js";

const N_SHOWN = 200;

async function takeSound(job, index, take) {
  const blob = await (await ask(`jobs/${job}/sentences/${index}/audio?take=${take}`)).blob();
  return decoded(blob, flacRate(new Uint8Array(await blob.arrayBuffer())));
}

mount("review", (place) => {
  const state = el("p", { class: "pg-state", role: "status" }, "");
  const text = el("textarea", { class: "pg-input pg-grow", rows: "5", "aria-label": word("long_text"), placeholder: word("long_text_hint") });
  const file = el("input", { type: "file", class: "pg-file", accept: ".txt,.md,.epub", "aria-label": word("document") });
  const title = el("input", { type: "text", class: "pg-input", "aria-label": word("job_title"), placeholder: word("job_title") });
  const voice = el("select", { class: "pg-input", "aria-label": word("m_reference") });
  const format = el("select", { class: "pg-input", "aria-label": word("job_format") });
  const jobs = el("ul", { class: "pg-list" });
  const detail = el("section", { class: "pg-card", hidden: true, "aria-label": word("sentences") });
  place.replaceChildren(el("div", { class: "pg-stack" },
    el("section", { class: "pg-card", "aria-label": word("new_job") }, el("h2", {}, word("new_job")), text,
      el("div", { class: "pg-row pg-form" }, file, title, voice, format, button(word("start_job"), (event) => doing(event.currentTarget, create), { kind: "main" })), state),
    el("section", { class: "pg-card", "aria-label": word("jobs") }, el("h2", {}, word("jobs")), jobs), detail));
  const player = new Player();
  let open = null;
  let events = null;
  let rows = new Map();

  const doing = (pressed, act) => attempt(state, pressed, act);

  async function fill() {
    const described = await description();
    const { components, paths } = described;
    const schema = paths["/jobs"].post.requestBody.content["application/json"].schema;
    const fields = (schema.$ref ? components.schemas[schema.$ref.split("/").pop()] : schema).properties;
    format.replaceChildren(...(fields.format.enum ?? []).map((name) => el("option", { value: name }, name)));
    const { voices } = await askJson("voices");
    voice.replaceChildren(el("option", { value: "" }, word("own_voice")), ...voices.map((one) => el("option", { value: one.id }, one.name)));
  }

  async function create() {
    const form = new FormData();
    if (file.files[0]) form.append("document", file.files[0]);
    else if (text.value.trim()) form.append("text", text.value);
    else throw new Error(word("job_needs_text"));
    if (title.value.trim()) form.append("title", title.value.trim());
    if (voice.value) form.append("voice", voice.value);
    form.append("format", format.value);
    const job = await askJson("jobs", { method: "POST", body: form });
    state.textContent = word("job_started");
    await list();
    await show(job.id);
  }

  async function list() {
    const found = (await askJson("jobs")).jobs;
    jobs.replaceChildren(...(found.length ? found.map(jobRow) : [el("li", { class: "pg-quiet" }, word("no_jobs"))]));
  }

  function jobRow(job) {
    return el("li", { "data-job": job.id }, el("div", { class: "pg-grow pg-entry" }, el("span", { class: "pg-entry-text" }, job.title || word("untitled")), el("span", { class: "pg-quiet" }, summary(job))),
      button(word("open_job"), () => show(job.id), { kind: "small", "aria-label": `${word("open_job")}: ${job.title}` }),
      button(word("forget"), (event) => doing(event.currentTarget, () => remove(job)), { kind: "small", "aria-label": `${word("forget")}: ${job.title}` }));
  }

  function summary(job) {
    return [word(`job_${job.state}`), `${job.n_done} / ${job.n_sentences}`, seconds(job.audio_s), job.format, job.reason].filter(Boolean).join(" · ");
  }

  async function remove(job) {
    if (!confirm(word("forget_job_sure", { title: job.title }))) return;
    await ask(`jobs/${job.id}`, { method: "DELETE" });
    if (open?.id === job.id) close();
    await list();
  }

  function close() {
    events?.close();
    open = null;
    detail.hidden = true;
  }

  async function show(id) {
    close();
    open = await askJson(`jobs/${id}?limit=${N_SHOWN}`);
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
    const more = open.n_sentences > rows.size && button(word("more_sentences", { n: open.n_sentences - rows.size }), (event) => doing(event.currentTarget, loadMore), { kind: "small" });
    detail.replaceChildren(head, el("ol", { class: "pg-sentences" }, [...rows.values()]), more || "");
    drawHead();
  }

  async function loadMore() {
    const next = await askJson(`jobs/${open.id}?first=${rows.size}&limit=${N_SHOWN}`);
    for (const sentence of next.sentences) rows.set(sentence.index, sentenceRow(sentence));
    drawDetail();
  }

  function drawHead() {
    const act = (name, kind) => button(word(`do_${name}`), (event) => doing(event.currentTarget, async () => {
      Object.assign(open, await askJson(`jobs/${open.id}/${name}`, { method: "POST" }));
      await show(open.id);
      await list();
    }), { kind });
    const isEnded = ["done", "cancelled", "failed"].includes(open.state);
    head.replaceChildren(el("div", { class: "pg-row" }, el("h2", {}, open.title || word("untitled")), el("span", { class: "pg-grow" }),
      !isEnded && open.state !== "paused" && act("pause", "small"), open.state === "paused" && act("resume", "small"), !isEnded && act("cancel", "small"),
      open.file_bytes > 0 && button(word("download"), (event) => doing(event.currentTarget, async () => saveFile(await (await ask(`jobs/${open.id}/audio`)).blob(), `${open.title || "speech"}.${open.format}`)), { kind: "main" })),
      el("p", { class: "pg-quiet", role: "status" }, summary(open)),
      el("progress", { max: String(open.n_sentences || 1), value: String(open.n_done), "aria-label": word("progress") }));
    const row = jobs.querySelector(`[data-job="${open.id}"]`);
    row?.replaceWith(jobRow(open));
  }

  function replaceRow(sentence) {
    const fresh = sentenceRow(sentence);
    rows.get(sentence.index).replaceWith(fresh);
    rows.set(sentence.index, fresh);
  }

  async function choose(index, take) {
    replaceRow(await sendJson("POST", `jobs/${open.id}/sentences/${index}/choose`, { take }));
  }

  async function speakAgain(sentence) {
    const take = await sendJson("POST", `jobs/${open.id}/sentences/${sentence.index}/takes`, {});
    await choose(sentence.index, take.take);
    await play(sentence.index, take.take);
  }

  async function play(index, take) {
    const sound = await takeSound(open.id, index, take);
    player.begin(sound.rateHz, sound.nChannels);
    player.push(sound.samples);
    player.finish();
  }

  async function compareTakes(sentence) {
    const rest = sentence.takes.filter((take) => take.take !== sentence.take && take.state === "done");
    const pair = [sentence.takes[sentence.take], rest.at(-1)];
    const takes = await Promise.all(pair.map(async (take) => ({ take: take.take, name: word("take_name", { n: take.take + 1, seed: take.seed }), sound: await takeSound(open.id, sentence.index, take.take) })));
    const preferred = await compare(takes);
    if (preferred) await choose(sentence.index, preferred.take);
  }

  function sentenceRow(sentence) {
    const done = sentence.takes.filter((take) => take.state === "done");
    const name = `${sentence.index + 1}`;
    const act = (label, run, options = {}) => button(label, (event) => doing(event.currentTarget, run), { kind: "small", "aria-label": `${label}: ${name}`, ...options });
    return el("li", { class: `pg-sentence pg-is-${sentence.state}` },
      button(`${word("play")} ${name}`, (event) => doing(event.currentTarget, () => play(sentence.index, sentence.take)), { kind: "round", picture: "play", disabled: sentence.state !== "done" }),
      el("div", { class: "pg-grow" }, el("p", {}, sentence.text), el("span", { class: "pg-quiet" }, sentence.state === "done" ? `${seconds(sentence.duration_s)} · ${word("take_name", { n: sentence.take + 1, seed: sentence.seed })}` : `${word(`is_${sentence.state}`)} ${sentence.reason}`)),
      sentence.state === "done" && el("div", { class: "pg-row" },
        act(word("speak_again"), () => speakAgain(sentence)),
        sentence.take > 0 && act(word("undo"), () => choose(sentence.index, sentence.take - 1)),
        sentence.take < sentence.takes.length - 1 && sentence.takes[sentence.take + 1].state === "done" && act(word("redo"), () => choose(sentence.index, sentence.take + 1)),
        done.length > 1 && act(word("compare"), () => compareTakes(sentence))));
  }

  doing(place, async () => {
    await fill();
    await list();
  });
});
