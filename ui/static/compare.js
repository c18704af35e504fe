// Blind A/B comparison of two takes; the names appear after the choice.

import { button, el, t } from "./dom.js";
import { PlayerView } from "./player_view.js";

/** Open the comparison of two takes, each { sound, name }. Resolves to the preferred take, or null. */
export function compare(takes) {
  const order = Math.random() < 0.5 ? [0, 1] : [1, 0];
  return new Promise((resolve) => {
    const status = el("p", { class: "pg-state", role: "status" }, t("compare_hint"));
    const views = [];
    const sides = order.map((index, side) => {
      const place = el("div");
      const letter = "AB"[side];
      const view = new PlayerView(place, letter, { isSmall: true });
      views.push(view);
      view.show(takes[index].sound);
      const name = el("p", { class: "pg-quiet pg-veiled" }, "?");
      return { index, name, part: el("div", { class: "pg-side" }, el("h3", {}, letter), place, name, button(t("prefer", { letter }), () => decide(index), { kind: "main" })) };
    });
    const same = button(t("no_difference"), () => decide(null));
    const dialog = el("dialog", { class: "pg-dialog", "aria-label": t("compare") },
      el("h2", {}, t("compare")), status, el("div", { class: "pg-sides" }, sides.map(({ part }) => part)),
      el("div", { class: "pg-row" }, same, el("span", { class: "pg-grow" }), button(t("close"), () => dialog.close())));
    let choice = null;

    function decide(index) {
      choice = index === null ? null : takes[index];
      for (const side of sides) {
        side.name.textContent = takes[side.index].name;
        side.name.classList.remove("pg-veiled");
        side.part.classList.toggle("pg-chosen", side.index === index);
      }
      status.textContent = index === null ? t("no_preference") : t("you_prefer", { name: takes[index].name });
    }

    dialog.addEventListener("close", () => {
      for (const view of views) view.player.stop();
      dialog.remove();
      resolve(choice);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
