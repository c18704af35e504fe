// What was spoken in this browser, kept across visits in its own database: nothing of it is sent anywhere.

import { compare } from "./compare.js";
import { button, el, mount, seconds, typeInto, word } from "./dom.js";

const STORE = "speeches";
const MAX_KEPT = 60;
const MAX_KEPT_BYTES = 200e6;

let opening = null;
let draw = () => {};
let open = () => {};

export function onOpen(act) {
  open = act;
}

function database() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("phonogram", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opening;
}

async function inStore(mode, act) {
  const transaction = (await database()).transaction(STORE, mode);
  const request = act(transaction.objectStore(STORE));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** All speeches, the newest first. */
async function kept() {
  return (await inStore("readonly", (store) => store.getAll())).reverse();
}

/** Keep a speech, and let the oldest go when there are too many. */
export async function keep(said) {
  try {
    const { recording, consent, ...entry } = said;
    said.id = await inStore("readwrite", (store) => store.add(entry));
    let bytes = 0;
    for (const [n, old] of (await kept()).entries()) {
      bytes += old.pcm.byteLength;
      if (n >= MAX_KEPT || bytes > MAX_KEPT_BYTES) await forget(old.id);
    }
  } catch {
    // A private window may keep nothing; speaking works all the same.
  }
  draw();
}

function forget(id) {
  return inStore("readwrite", (store) => store.delete(id));
}

mount("history", (place) => {
  const list = el("ul", { class: "pg-list" });
  const chosen = new Set();
  const comparing = button(word("compare"), () => compareChosen(), { kind: "small", disabled: true });
  const clearing = button(word("forget_all"), async () => {
    if (!confirm(word("forget_all_sure"))) return;
    await inStore("readwrite", (store) => store.clear());
    draw();
  }, { kind: "small" });
  place.replaceChildren(
    el("section", { class: "pg-card", "aria-label": word("history") },
      el("div", { class: "pg-row" }, el("h2", {}, word("history")), el("span", { class: "pg-grow" }), comparing, clearing), list),
  );
  let entries = [];

  function compareChosen() {
    const takes = entries.filter((entry) => chosen.has(entry.id)).map((entry) => ({
      sound: { samples: entry.pcm, rateHz: entry.rateHz, nChannels: entry.nChannels }, name: described(entry),
    }));
    compare(takes);
  }

  function row(entry) {
    const mark = el("input", {
      type: "checkbox", "aria-label": `${word("choose_for_comparison")}: ${entry.text.slice(0, 40)}`, change: () => {
        if (mark.checked) chosen.add(entry.id);
        else chosen.delete(entry.id);
        comparing.disabled = chosen.size !== 2;
      },
    });
    mark.checked = chosen.has(entry.id);
    return el("li", {}, mark,
      button(word("play"), () => open(entry), { kind: "round", picture: "play" }),
      el("div", { class: "pg-grow pg-entry" }, el("span", { class: "pg-entry-text" }, entry.text), el("span", { class: "pg-quiet" }, described(entry))),
      button(word("use_text"), () => typeInto("#pg-text", entry.text), { kind: "small" }),
      button(word("forget"), async () => {
        await forget(entry.id);
        chosen.delete(entry.id);
        draw();
      }, { kind: "small" }));
  }

  draw = async () => {
    entries = await kept().catch(() => []);
    comparing.disabled = chosen.size !== 2;
    clearing.disabled = !entries.length;
    list.replaceChildren(...(entries.length ? entries.map(row) : [el("li", { class: "pg-quiet" }, word("no_history"))]));
  };
  draw();
});

function described(entry) {
  const when = new Date(entry.at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  return [entry.clip ? word("own_recording") : entry.voice || word("own_voice"), `${word("m_seed")} ${entry.usedSeed}`, seconds(entry.duration_s), when].join(" · ");
}
