// Keys: what was pressed, whatever the keyboard's layout, and whether it is meant for us.

const SWITCH = "preflab:keys";

/** Whether single keys are shortcuts here: people who speak to their computer turn them off. */
export const areOn = () => localStorage.getItem(SWITCH) !== "off";
export const turn = (on) => localStorage.setItem(SWITCH, on ? "on" : "off");

/** A key by one name: "j", "1", "Enter", "ArrowDown", "?". Where a layout has other letters, the
 *  place of the key counts. */
export function nameOf(event) {
  const { key, code } = event;
  if (/^[a-z]$/i.test(key)) return key.toLowerCase();
  if (/^[0-9?]$/.test(key) || key.length > 1) return key;
  const place = /^(?:Key([A-Z])|(?:Digit|Numpad)([0-9]))$/.exec(code);
  if (key === "؟") return "?";
  return place ? (place[1] ?? place[2]).toLowerCase() : key;
}

/** Whether a text is being written at the place of an event. */
export const inText = (event) =>
  event.target.matches?.("textarea, select, input:not([type=radio]):not([type=checkbox])") ?? false;

/** Whether the browser has its own use for a key there. */
export function isTaken(event, key) {
  const { target } = event;
  if (key === "Enter") return target.matches?.("button, a[href], summary, select") ?? false;
  if (key === " ") return true;
  if (key.startsWith("Arrow")) return target.matches?.("input[type=radio], [tabindex='0'].beside") ?? false;
  return false;
}

/** Letters for flags, in the order of the keyboard, without those that have a meaning. */
export const FLAG_KEYS = [..."qwertyiopadfghlzxcvbnm"];
