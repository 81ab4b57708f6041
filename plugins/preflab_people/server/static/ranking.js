// Page b: all outputs in full, a rank for each. Equal ranks are ties.

import { columns } from "./answer.js";
import { el } from "./dom.js";
import { draggable } from "./drag.js";
import { textBlock } from "./text.js";
import { letter, say } from "./words.js";

/** The cards and the board of columns; id: a name that no other view on the page has. choose(place) makes an output the one that keys are for;
 *  rank(place, rank) gives it a rank. update() shows the answer as it is now. */
export function rankingView({ id = "output", task, answer, choose, rank }) {
  const board = boardView(answer, rank);
  const cards = task.outputs.map((text, place) => cardView(text, place, { id, task, choose, rank, board }));
  const update = () => {
    for (const [place, card] of cards.entries()) {
      const given = answer.ranks[place];
      card.view.classList.toggle("active", answer.active === place);
      card.state.textContent = given === null ? say("task.unranked") : say("task.ranked", { rank: given });
      card.state.classList.toggle("set", given !== null);
      for (const [index, input] of card.inputs.entries()) input.checked = given === index + 1;
    }
    board.update();
  };
  update();
  return { view: el("div", { class: "outputs" }, cards.map((card) => card.view)), board: board.view, cards, update };
}

function cardView(text, place, { id, task, choose, rank, board }) {
  const name = letter(place);
  const state = el("span", { class: "state" });
  const inputs = task.outputs.map((_, index) =>
    el("input", {
      type: "radio",
      name: `${id}-${place}-rank`,
      value: index + 1,
      onchange: () => rank(place, index + 1),
    }),
  );
  const grip = el("span", { class: "grip", "aria-hidden": "true", title: say("task.drag", { letter: name }) }, name);
  const scale = el(
    "div",
    { class: "scale" },
    el(
      "div",
      { class: "row" },
      inputs.map((input, index) => el("label", { class: "choice" }, input, el("span", {}, String(index + 1)))),
    ),
    inputs.length > 1
      ? el(
          "div",
          { class: "ends", "aria-hidden": "true" },
          el("span", {}, say("task.rank.best")),
          el("span", {}, say("task.rank.worst")),
        )
      : null,
  );
  scale.style.setProperty("--columns", inputs.length);
  const view = el(
    "article",
    {
      class: "output",
      tabindex: "-1",
      "aria-labelledby": `${id}-${place}`,
      onfocusin: () => choose(place),
      onpointerdown: () => choose(place),
    },
    el("header", {}, grip, el("h2", { id: `${id}-${place}` }, say("task.output", { letter: name })), state),
    textBlock(text, task.lang),
    el(
      "fieldset",
      {},
      el("legend", { class: "unseen" }, say("task.rank_of", { letter: name })),
      scale,
    ),
  );
  draggable(grip, place, board.columnAt, (to) => rank(place, to));
  return { view, state, inputs };
}

function boardView(answer, rank) {
  const heads = answer.ranks.map((_, index) => {
    const chips = el("div", { class: "chips" });
    const ends = index === 0 ? "best" : index === answer.count - 1 ? "worst" : null;
    const column = el(
      "li",
      { class: "column", "data-rank": index + 1 },
      el("span", { class: "unseen" }, say("task.column", { rank: index + 1 })),
      el("small", { "aria-hidden": "true" }, `${index + 1}`, ends ? el("span", {}, ` ${say(`task.rank.${ends}`)}`) : null),
      chips,
    );
    return { column, chips };
  });
  const list = el("ol", {}, heads.map((head) => head.column));
  list.style.setProperty("--columns", answer.count);
  const columnAt = (x, y) => {
    const found = document.elementFromPoint(x, y)?.closest(".column");
    return found && list.contains(found) ? found : null;
  };
  const chip = (place) => {
    const made = el("span", { class: "letter chip" }, letter(place));
    draggable(made, place, columnAt, (to) => rank(place, to));
    return made;
  };
  const update = () => {
    for (const [index, places] of columns(answer.ranks).entries())
      heads[index].chips.replaceChildren(
        ...(places.length ? places.map(chip) : [el("span", { class: "unseen" }, say("task.column.empty"))]),
      );
  };
  return { view: list, columnAt, update };
}
