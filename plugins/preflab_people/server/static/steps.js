// The steps of a task: rating one output after another, then ranking all; or writing.

import { isRating, missing } from "./answer.js";
import { change, current } from "./current.js";
import { announce, byId, el } from "./dom.js";
import { rankingView } from "./ranking.js";
import { ratingView } from "./rating.js";
import { hideProblem, showProblem } from "./shell.js";
import { letter, say } from "./words.js";

/** Show the step at which the answer is. */
export function showStep() {
  const { task, answer } = current;
  const rating = isRating(answer);
  const ranking = !rating && !answer.write;
  const what = say(answer.write ? "task.write" : rating ? "task.rate" : "task.rank");
  byId("what").textContent = answer.rates ? `${say("task.step", { step: rating ? 1 : 2 })}: ${what}` : what;
  byId("steps").parentElement.hidden = !answer.rates;
  byId("better-part").hidden = byId("rank-help").hidden = byId("board").hidden = !ranking;
  byId("write-part").hidden = !answer.write;
  byId("submit-text").textContent = say(rating ? "task.next" : "task.submit");
  current.view = rating
    ? ratingView({ task, answer, change: changeRating })
    : ranking
      ? rankingView({ task, answer, choose, rank })
      : null;
  byId("outputs").replaceChildren(...(current.view ? [current.view.view] : []));
  if (ranking) byId("board").replaceChildren(current.view.board);
  byId("written").value = byId("better").value = answer.written;
  byId("notes").value = answer.notes;
  showSteps();
  showBetter();
}

function showSteps() {
  const { answer } = current;
  const steps = answer.rates ? Array.from({ length: answer.count + 1 }, (_, step) => step) : [];
  byId("steps").replaceChildren(...steps.map((step) => stepButton(answer, step)));
}

function stepButton(answer, step) {
  const last = step === answer.count;
  const rated = !last && answer.form.likert && answer.likert[step] !== null;
  const label = last ? say("task.to_ranking") : letter(step);
  const name = last ? label : say("task.output", { letter: label });
  const button = el(
    "button",
    {
      type: "button",
      class: rated ? "ticked" : null,
      "aria-current": answer.step === step ? "step" : null,
      "aria-label": rated ? `${name}, ${say("task.rated")}` : name,
      onclick: () => goTo(step),
    },
    label,
  );
  return el("li", {}, button);
}

function changeRating(apply) {
  if (!change(apply)) return showStep(); // what was clicked while sending does not count
  dropMissing();
  showSteps();
}

function choose(place) {
  if (current.answer.active === place) return;
  current.answer.active = place;
  current.view.update();
}

/** Give an output a rank. */
export function rank(place, to) {
  const done = change((answer) => {
    answer.ranks[place] = to;
    answer.active = place;
  });
  current.view.update();
  if (!done) return;
  dropMissing();
  announce(`${say("task.output", { letter: letter(place) })}: ${say("task.ranked", { rank: to })}`);
}

/** Go to a step, unless something before it is missing. push: so that the back button comes back. */
export function goTo(step, push = true) {
  if (current.busy) return;
  const { answer, task } = current;
  const lacking = step > answer.step ? missing(answer, step) : null;
  if (lacking?.what === "likert") return showMissing(lacking);
  change(() => (answer.step = step));
  if (push) history.pushState({ task: task.id, step }, "");
  dropMissing();
  showStep();
  const heading = isRating(answer) ? current.view.heading : byId("what");
  heading.focus({ preventScroll: true });
  heading.scrollIntoView({ block: "nearest" });
}

/** Say what is missing, and go there. */
export function showMissing({ what, place }) {
  if (what === "likert" && current.answer.step !== place) {
    current.answer.step = place;
    showStep();
  }
  const text = say(`missing.${what}`, { letter: letter(place) });
  showProblem(null, text);
  byId("problem").dataset.kind = "missing";
  announce(text, true);
  if (what === "likert") current.view.inputs.likert[0].focus();
  else if (what === "rank") current.view.cards[place].inputs[0].focus();
  else byId("written").focus();
}

/** What was missing is there now. */
export function dropMissing() {
  if (byId("problem").dataset.kind === "missing") hideProblem();
}

/** Show the field for a better response, or take it away. */
export function showBetter() {
  const { better } = current.answer;
  byId("open-better").setAttribute("aria-expanded", better);
  byId("open-better").textContent = say(better ? "task.better.close" : "task.better");
  byId("better-field").hidden = !better;
}

/** Choose the next output, or the one before. */
export function move(by) {
  const { answer, view } = current;
  if (isRating(answer)) {
    const step = answer.step + by;
    if (step >= 0 && step <= answer.count) goTo(step);
    return;
  }
  const place = Math.max(0, Math.min(answer.count - 1, answer.active + by));
  view.cards[place].view.focus({ preventScroll: true });
  view.cards[place].view.scrollIntoView({ block: "nearest" });
}

/** A digit: a rating, or the rank of the chosen output. */
export function digit(value) {
  const { answer, view } = current;
  if (isRating(answer)) view.inputs.likert[value - 1]?.click();
  else if (!answer.write && value <= answer.count) rank(answer.active, value);
}
