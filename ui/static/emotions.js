// Tags for the text: emotion tags of the loaded checkpoint and markup that works with every model.

import { requestJson } from "./backend.js";
import { button, el, mount, typeInto, t } from "./dom.js";

const RETRY_MS = 4000;
const TAGS = t("tags");

async function emotionGuide() {
  for (;;) {
    try {
      return await requestJson("emotions");
    } catch {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

function insert(text) {
  typeInto("#pg-text", `${text} `, "cursor");
}

mount("tags", async (place) => {
  const row = el("div", { class: "pg-chips", role: "group", "aria-label": t("insert_tag") });
  place.replaceChildren(row);
  const tags = TAGS.map(([tag, meaning]) => button(tag, () => {
    insert(tag);
    // These tags need markup to be on.
    document.querySelector("#pg-use-markup")?.click();
  }, { kind: "chip", title: meaning }));
  row.replaceChildren(...tags);
  const { groups } = await emotionGuide();
  const known = Object.values(groups).flat();
  const shown = known.slice(0, 10).map((tag) => button(tag, () => insert(tag), { kind: "chip" }));
  const more = known.length > 10 ? [el("details", { class: "pg-more" }, el("summary", {}, t("more_tags", { n: known.length - 10 })),
    el("div", { class: "pg-chips" }, known.slice(10).map((tag) => button(tag, () => insert(tag), { kind: "chip" }))))] : [];
  row.replaceChildren(...shown, ...tags, ...more);
});

mount("emotions", async (place) => {
  place.replaceChildren(el("div", { class: "pg-card" }, el("p", { class: "pg-quiet" }, t("connecting"))));
  const { family, groups } = await emotionGuide();
  const names = Object.keys(groups);
  place.replaceChildren(el("div", { class: "pg-stack" },
    el("section", { class: "pg-card" }, el("h2", {}, t("emotions_known")),
      el("p", {}, t(names.length ? "emotions_some" : "emotions_none", { family })),
      names.map((name) => el("div", {}, el("h3", {}, t(`group_${name}`)),
        el("div", { class: "pg-chips" }, groups[name].map((tag) => button(tag, () => insert(tag), { kind: "chip" })))))),
    el("section", { class: "pg-card" }, el("h2", {}, t("tags_title")), el("p", {}, t("tags_text")),
      el("dl", { class: "pg-pairs" }, TAGS.map(([tag, meaning]) => [el("dt", {}, el("code", {}, tag)), el("dd", {}, meaning)]))),
    el("section", { class: "pg-card" }, el("h2", {}, t("emotions_unknown")), el("p", {}, t("emotions_unknown_text"))),
  ));
});
