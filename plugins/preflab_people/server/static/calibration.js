// Worked examples: decide first, then compare with the researchers.

import { byId, el, tree } from "./dom.js";
import { rankingView } from "./ranking.js";
import { get } from "./server.js";
import { ready, signedIn } from "./shell.js";
import { textBlock, turns } from "./text.js";
import { letter, say } from "./words.js";

const me = await signedIn();
const { examples } = await get("/api/examples");
byId("examples").replaceChildren(...(examples.length ? examples.map(show) : [say("calibration.none")]));
if (me.done === 0 && me.screening && !me.screening.over) byId("go-on").href = "/screening";
ready();

function show(example, index) {
  const answer = { ranks: example.outputs.map(() => null), active: 0, count: example.outputs.length };
  const id = `example-${index}`;
  const result = el("div", { class: "prose", role: "status" });
  const view = rankingView({
    id,
    task: example,
    answer,
    choose: (place) => {
      answer.active = place;
      view?.update();
    },
    rank: (place, rank) => {
      answer.ranks[place] = rank;
      view.update();
    },
  });
  const compare = el("button", { type: "button", onclick: () => result.replaceChildren(...outcome(example, answer)) }, say("calibration.compare"));
  return el(
    "section",
    { "aria-labelledby": id },
    el("div", { class: "panel" }, el("h2", { id }, say("calibration.heading", { number: index + 1 })), turns(example)),
    view.view,
    el("div", { class: "board still" }, view.board, el("div", { class: "buttons" }, compare)),
    result,
  );
}

function outcome(example, answer) {
  const { ranks, written, reason } = example;
  const lines = ranks.map((rank, place) => el("li", {}, say("calibration.theirs", { letter: letter(place), rank })));
  return [
    el(
      "div",
      { class: "panel" },
      answer.ranks.includes(null) ? null : el("p", {}, agreement(ranks, answer.ranks)),
      el("ul", {}, lines),
      written ? el("p", {}, say("calibration.written")) : null,
      written ? textBlock(written) : null,
      el("div", { dir: "auto" }, tree(reason)),
    ),
  ];
}

function agreement(theirs, mine) {
  let same = 0;
  let all = 0;
  for (let a = 0; a < mine.length; a++)
    for (let b = a + 1; b < mine.length; b++) {
      all += 1;
      same += Math.sign(theirs[a] - theirs[b]) === Math.sign(mine[a] - mine[b]);
    }
  return say("calibration.same", { count: same, of: all });
}
