// Page a: one output, how good it is and what is true of it.

import { el } from "./dom.js";
import { FLAG_KEYS } from "./keys.js";
import { textBlock } from "./text.js";
import { letter, named, say } from "./words.js";

/** The form of one output. change(apply) changes the answer and saves it. */
export function ratingView({ task, answer, change }) {
  const place = answer.step;
  const name = letter(place);
  const inputs = { likert: [], flags: [] };
  const view = el(
    "article",
    { class: "output active", "aria-labelledby": "output-name" },
    el(
      "header",
      {},
      el("span", { class: "letter", "aria-hidden": "true" }, name),
      el("h2", { id: "output-name", tabindex: "-1" }, say("task.output", { letter: name })),
    ),
    textBlock(task.outputs[place], task.lang),
    answer.form.likert ? likert(place, answer, change, inputs) : null,
    answer.form.flags.length ? flags(place, answer, change, inputs) : null,
  );
  return { view, inputs, heading: view.querySelector("h2") };
}

function likert(place, answer, change, inputs) {
  const row = [1, 2, 3, 4, 5, 6, 7].map((value) => {
    const input = el("input", {
      type: "radio",
      name: "likert",
      value,
      checked: answer.likert[place] === value,
      onchange: () => change(() => (answer.likert[place] = value)),
    });
    inputs.likert.push(input);
    return el("label", { class: "choice" }, input, el("span", {}, String(value)));
  });
  return el(
    "fieldset",
    {},
    el("legend", {}, say("task.quality", { letter: letter(place) })),
    el(
      "div",
      { class: "scale" },
      el("div", { class: "row" }, row),
      el("div", { class: "ends" }, el("span", {}, say("task.likert.worst")), el("span", {}, say("task.likert.best"))),
    ),
  );
}

function flags(place, answer, change, inputs) {
  const boxes = answer.form.flags.map((flag, index) => {
    const input = el("input", {
      type: "checkbox",
      checked: answer.flags[place].includes(flag),
      onchange: (event) =>
        change(() => {
          const others = answer.flags[place].filter((name) => name !== flag);
          answer.flags[place] = event.target.checked ? [...others, flag] : others;
        }),
    });
    inputs.flags.push(input);
    const key = FLAG_KEYS[index];
    const hint = key ? el("kbd", { class: "hint", "aria-hidden": "true" }, key.toUpperCase()) : null;
    return el("label", { class: "check" }, input, el("span", { dir: "auto" }, named("flag", flag)), hint);
  });
  return el(
    "fieldset",
    {},
    el("legend", {}, say("task.flags", { letter: letter(place) })),
    el("div", { class: "flags" }, boxes),
  );
}
