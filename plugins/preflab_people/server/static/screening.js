// Where a person stands in their screening.

import { byId, el } from "./dom.js";
import { signedIn } from "./shell.js";
import { say } from "./words.js";

const { screening, next } = await signedIn();
if (!screening) location.replace(next);
else {
  const { over, waits, tries, tasks, cut, allowed } = screening;
  byId("state").textContent = over
    ? say("screening.passed")
    : waits
      ? say("screening.waits")
      : tries.length
        ? say("screening.again")
        : say("screening.about", { tasks, cut, tries: allowed });
  byId("tries").replaceChildren(...tries.map(result));
  const go = byId("go-on");
  go.textContent = say(over ? "screening.go_on" : tries.length ? "screening.begin_again" : "screening.begin");
  go.hidden = waits;
}

function result({ pairs, flags, passed }, index) {
  const share = (value) => say("screening.share", { percent: Math.round(100 * value) });
  const parts = [say(passed ? "screening.enough" : "screening.not_enough")];
  if (pairs !== null) parts.push(say("screening.result", { pairs: share(pairs) }));
  if (flags !== null) parts.push(say("screening.flags", { flags: share(flags) }));
  return el("li", {}, say("screening.try", { number: index + 1, result: parts.join(", ") }));
}
