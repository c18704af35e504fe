// Below the text field: sample texts, the character counter, and a note for languages the voice does not speak.

import { onReady } from "./backend.js";
import { button, el, mount, typeInto, t } from "./dom.js";

const FIELD = "#pg-text";
// Frequent short words that English does not share.
const FOREIGN = {
  German: "der die das und ist nicht ein eine mit ich sie wir auf für den zu",
  French: "le la les et est une des dans pour que qui vous nous pas avec du",
  Spanish: "el los las es una que con por para del como pero muy está y en",
  Italian: "il che di non una per con sono della nel anche gli questo è",
  Portuguese: "o os uma não com para que do da em é mais você são",
  Dutch: "de het een en van niet met voor zijn op te dat wij ook",
};
const ENGLISH = "the and of to is in it that was for with you not are this have be on at as";
const words = (text) => text.toLowerCase().match(/[\p{L}']+/gu) ?? [];

/** Returns the name of the language a text seems to be in, "" for English or too little text. */
export function foreignLanguage(text) {
  const letters = text.match(/\p{L}/gu) ?? [];
  if (letters.filter((one) => !/\p{Script=Latin}/u.test(one)).length > 0.3 * letters.length && letters.length > 3) return t("other_script");
  const all = words(text);
  const count = (list) => all.filter((word) => list.split(" ").includes(word)).length;
  const [name, n] = Object.entries(FOREIGN).map(([key, list]) => [key, count(list)]).reduce((best, one) => (one[1] > best[1] ? one : best), ["", 0]);
  return all.length > 3 && n > 1 && n > 2 * count(ENGLISH) ? name : "";
}

mount("text_tools", (place) => {
  const count = el("span", { class: "pg-quiet pg-count", role: "status" });
  const note = el("p", { class: "pg-note", role: "status", hidden: true });
  const handOver = button(t("to_audiobooks"), () => toAudiobooks(), { kind: "small", hidden: true });
  const samples = t("samples").map(([name, text]) => button(name, () => typeInto(FIELD, text), { kind: "chip" }));
  place.replaceChildren(el("div", { class: "pg-row" }, el("div", { class: "pg-chips pg-words", role: "group", "aria-label": t("sample_texts") }, samples), el("span", { class: "pg-grow" }), handOver, count), note);
  let limit = 5000;
  let isEnglishOnly = false;
  const value = () => document.querySelector(`${FIELD} textarea`)?.value ?? "";

  function show() {
    const length = [...value()].length;
    count.textContent = t("count", { n: length.toLocaleString(), limit: limit.toLocaleString() });
    count.classList.toggle("pg-bad", length > limit);
    handOver.hidden = length <= 0.6 * limit;
    const language = isEnglishOnly ? foreignLanguage(value().slice(0, 2000)) : "";
    note.hidden = !language;
    note.textContent = language && t("foreign_text", { language });
  }

  function toAudiobooks() {
    window.phonogram.handedOver = value();
    [...document.querySelectorAll("[role=tab]")].find((tab) => tab.textContent.trim() === "Audiobooks")?.click();
    document.dispatchEvent(new Event("pg-hand-over"));
  }

  document.addEventListener("input", (event) => {
    if (event.target.closest?.(FIELD)) show();
  });
  onReady((ready) => {
    isEnglishOnly = (ready.engine?.model ?? "").startsWith("phonogram");
    limit = ready.max_text_chars ?? limit;
    show();
  });
  show();
});
