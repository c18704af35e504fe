// Marks for a text: those of the loaded checkpoint and those that work with every one.

import { askJson } from "./backend.js";
import { button, el, mount, typeInto, word } from "./dom.js";

const RETRY_MS = 4000;
const MARKS = word("marks");

async function guide() {
  for (;;) {
    try {
      return await askJson("emotions");
    } catch {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

function insert(text) {
  typeInto("#pg-text", `${text} `, "cursor");
}

mount("tags", async (place) => {
  const row = el("div", { class: "pg-chips", role: "group", "aria-label": word("insert_marks") });
  place.replaceChildren(row);
  const marks = MARKS.map(([mark, meaning]) => button(mark, () => {
    insert(mark);
    // These are read only in a text that is read as marked up.
    document.querySelector("#pg-use-markup")?.click();
  }, { kind: "chip", title: meaning }));
  row.replaceChildren(...marks);
  const { groups } = await guide();
  const known = Object.values(groups).flat();
  const shown = known.slice(0, 10).map((mark) => button(mark, () => insert(mark), { kind: "chip" }));
  const more = known.length > 10 ? [el("details", { class: "pg-more" }, el("summary", {}, word("more_marks", { n: known.length - 10 })),
    el("div", { class: "pg-chips" }, known.slice(10).map((mark) => button(mark, () => insert(mark), { kind: "chip" }))))] : [];
  row.replaceChildren(...shown, ...marks, ...more);
});

mount("emotions", async (place) => {
  place.replaceChildren(el("div", { class: "pg-card" }, el("p", { class: "pg-quiet" }, word("asking"))));
  const { family, groups } = await guide();
  const names = Object.keys(groups);
  place.replaceChildren(el("div", { class: "pg-stack" },
    el("section", { class: "pg-card" }, el("h2", {}, word("emotions_known")),
      el("p", {}, word(names.length ? "emotions_some" : "emotions_none", { family })),
      names.map((name) => el("div", {}, el("h3", {}, word(`group_${name}`)),
        el("div", { class: "pg-chips" }, groups[name].map((mark) => button(mark, () => insert(mark), { kind: "chip" })))))),
    el("section", { class: "pg-card" }, el("h2", {}, word("marks_title")), el("p", {}, word("marks_text")),
      el("dl", { class: "pg-pairs" }, MARKS.map(([mark, meaning]) => [el("dt", {}, el("code", {}, mark)), el("dd", {}, meaning)]))),
    el("section", { class: "pg-card" }, el("h2", {}, word("emotions_unknown")), el("p", {}, word("emotions_unknown_text"))),
  ));
});
