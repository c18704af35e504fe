// Two takes heard blind: which is which shows only after a choice.

import { button, el, word } from "./dom.js";
import { SoundView } from "./player_view.js";

/** Ask which of two takes, each { sound, name }, is better. Resolves to the chosen take, or null. */
export function compare(takes) {
  const order = Math.random() < 0.5 ? [0, 1] : [1, 0];
  return new Promise((resolve) => {
    const verdict = el("p", { class: "pg-state", role: "status" }, word("compare_how"));
    const views = [];
    const sides = order.map((index, side) => {
      const place = el("div");
      const letter = "AB"[side];
      const view = new SoundView(place, letter, { isSmall: true });
      views.push(view);
      view.show(takes[index].sound);
      const name = el("p", { class: "pg-quiet pg-veiled" }, "?");
      return { index, name, part: el("div", { class: "pg-side" }, el("h3", {}, letter), place, name, button(word("prefer", { letter }), () => decide(index), { kind: "main" })) };
    });
    const same = button(word("no_difference"), () => decide(null));
    const dialog = el("dialog", { class: "pg-dialog", "aria-label": word("compare") },
      el("h2", {}, word("compare")), verdict, el("div", { class: "pg-sides" }, sides.map(({ part }) => part)),
      el("div", { class: "pg-row" }, same, el("span", { class: "pg-grow" }), button(word("close"), () => dialog.close())));
    let choice = null;

    function decide(index) {
      choice = index === null ? null : takes[index];
      for (const side of sides) {
        side.name.textContent = takes[side.index].name;
        side.name.classList.remove("pg-veiled");
        side.part.classList.toggle("pg-chosen", side.index === index);
      }
      verdict.textContent = index === null ? word("you_heard_none") : word("you_prefer", { name: takes[index].name });
    }

    dialog.addEventListener("close", () => {
      for (const view of views) view.player.silence();
      dialog.remove();
      resolve(choice);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
