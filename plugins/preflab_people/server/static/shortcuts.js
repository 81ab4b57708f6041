// The keys of the task page.

import { isRating } from "./answer.js";
import { current } from "./current.js";
import { FLAG_KEYS, areOn, inText, isTaken, nameOf } from "./keys.js";
import { openHelp } from "./shell.js";
import { digit, move } from "./steps.js";

const MOVES = { j: 1, ArrowDown: 1, ArrowRight: 1, k: -1, ArrowUp: -1, ArrowLeft: -1 };
if (document.dir === "rtl") Object.assign(MOVES, { ArrowRight: -1, ArrowLeft: 1 });

/** What a key does here, or null. actions: submit, undo, skip. */
function meaning(event, key, actions) {
  if (key === "Enter" && (event.ctrlKey || event.metaKey)) return actions.submit;
  if (event.ctrlKey || event.metaKey || !areOn()) return null;
  if (inText(event)) return key === "Escape" ? () => event.target.blur() : null;
  if (isTaken(event, key)) return null;
  if (key === "?") return openHelp;
  if (key === "u") return actions.undo;
  if (key === "s") return actions.skip;
  if (!current.shown) return null;
  if (key === "Enter") return actions.submit;
  if (key in MOVES) return current.answer.write ? null : () => move(MOVES[key]);
  if (/^[1-9]$/.test(key)) return () => digit(Number(key));
  const flag = isRating(current.answer) ? current.view.inputs.flags[FLAG_KEYS.indexOf(key)] : null;
  return flag ? () => flag.click() : null;
}

export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey || document.querySelector("dialog[open]")) return;
    const key = nameOf(event);
    const work = meaning(event, key, actions);
    if (!work) return;
    event.preventDefault();
    if (!event.repeat || key in MOVES) work();
  });
}
