// Speech history, stored in the browser's IndexedDB; nothing of it is sent anywhere.

import { compare } from "./compare.js";
import { button, el, mount, seconds, t } from "./dom.js";
import { nameOf } from "./voice_cards.js";

const STORE = "speeches";
const MAX_ENTRIES = 60;
const MAX_BYTES = 200e6;

let opening = null;
let draw = () => {};
let openEntry = () => {};

/** Put the text, voice, seed and settings of an entry back into the fields. */
function restoreEntry(entry) {
  window.phonogram.restored = entry;
  document.querySelector("#pg-restore")?.click();
}

export function onOpen(act) {
  openEntry = act;
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

/** Returns all entries, newest first. */
async function allEntries() {
  return (await inStore("readonly", (store) => store.getAll())).reverse();
}

/** Store a speech; deletes the oldest entries beyond the limits. */
export async function save(speech) {
  try {
    const { recording, consent, ...entry } = speech;
    speech.id = await inStore("readwrite", (store) => store.add(entry));
    let bytes = 0;
    for (const [n, old] of (await allEntries()).entries()) {
      bytes += old.pcm.byteLength;
      if (n >= MAX_ENTRIES || bytes > MAX_BYTES) await deleteEntry(old.id);
    }
  } catch {
    // Storage may be unavailable in a private window; speech works without it.
  }
  draw();
}

function deleteEntry(id) {
  return inStore("readwrite", (store) => store.delete(id));
}

mount("history", (place) => {
  const list = el("ul", { class: "pg-list" });
  const selected = new Set();
  const compareButton = button(t("compare"), () => compareSelected(), { kind: "small", disabled: true });
  const deleteAllButton = button(t("delete_all"), async () => {
    if (!confirm(t("delete_all_confirm"))) return;
    await inStore("readwrite", (store) => store.clear());
    draw();
  }, { kind: "small" });
  place.replaceChildren(
    el("section", { class: "pg-card", "aria-label": t("history") },
      el("div", { class: "pg-row" }, el("h2", {}, t("history")), el("span", { class: "pg-grow" }), compareButton, deleteAllButton), list),
  );
  let entries = [];

  function compareSelected() {
    const takes = entries.filter((entry) => selected.has(entry.id)).map((entry) => ({
      sound: { samples: entry.pcm, rateHz: entry.rateHz, nChannels: entry.nChannels }, name: description(entry),
    }));
    compare(takes);
  }

  function row(entry) {
    const checkbox = el("input", {
      type: "checkbox", "aria-label": `${t("select_for_comparison")}: ${entry.text.slice(0, 40)}`, change: () => {
        if (checkbox.checked) selected.add(entry.id);
        else selected.delete(entry.id);
        compareButton.disabled = selected.size !== 2;
      },
    });
    checkbox.checked = selected.has(entry.id);
    return el("li", {}, checkbox,
      button(t("play"), () => openEntry(entry), { kind: "round", iconName: "play" }),
      el("div", { class: "pg-grow pg-entry" }, el("span", { class: "pg-entry-text" }, entry.text), el("span", { class: "pg-quiet" }, description(entry))),
      button(t("use_text"), () => restoreEntry(entry), { kind: "small" }),
      button(t("delete"), async () => {
        await deleteEntry(entry.id);
        selected.delete(entry.id);
        draw();
      }, { kind: "small" }));
  }

  draw = async () => {
    entries = await allEntries().catch(() => []);
    compareButton.disabled = selected.size !== 2;
    deleteAllButton.disabled = !entries.length;
    list.replaceChildren(...(entries.length ? entries.map(row) : [el("li", { class: "pg-quiet" }, t("no_history"))]));
  };
  draw();
});

function description(entry) {
  const when = new Date(entry.at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  return [entry.clip ? t("reference_recording") : nameOf(entry.voice), `${t("m_seed")} ${entry.usedSeed}`, seconds(entry.duration_s), entry.isWhole === false && t("incomplete"), when].filter(Boolean).join(" · ");
}
