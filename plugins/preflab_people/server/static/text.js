// What models and people wrote: as text alone, in its own direction, with nothing hidden in it.

import { el } from "./dom.js";
import { say } from "./words.js";

// Characters that show nothing, or that turn others around. Tab and line feed are not among them.
const HIDDEN = new RegExp(
  "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f" + // control
    "\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f" +
    "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff0-\\uffff" +
    "\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e0fff}\\p{Cs}]",
  "gu",
);
const JOINERS = new Set(["\u200c", "\u200d"]);
// Joiners shape letters of these scripts, and pictures made of several.
const JOINED = /[\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Gurmukhi}\p{Script=Gujarati}\p{Script=Oriya}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Sinhala}\p{Script=Khmer}\p{Script=Mongolian}\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]/u;

/** The character before a place. (Anchoring the expression fails in Chromium 156.) */
const before = (text, index) => [...text.slice(Math.max(0, index - 2), index)].at(-1) ?? "";

/** A text in parts: {text} as it is, {code} for a character that would not be seen. */
export function parts(text) {
  const made = [];
  let from = 0;
  const plain = (to) => to > from && made.push({ text: text.slice(from, to) });
  for (const match of text.matchAll(HIDDEN)) {
    if (JOINERS.has(match[0]) && JOINED.test(before(text, match.index))) continue;
    if (match[0] === "\r" && text[match.index + 1] === "\n") {
      plain(match.index); // the end of a line on Windows
      from = match.index + 1;
      continue;
    }
    plain(match.index);
    made.push({ code: `U+${match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` });
    if (/[\r\u2028\u2029]/.test(match[0])) made.push({ text: "\n" });
    from = match.index + match[0].length;
  }
  plain(text.length);
  return made;
}

/** A block with a text of a model or a person. lang: its language, if it is known. */
export function textBlock(text, lang = "") {
  if (text === "") return el("div", { class: "text empty" }, say("text.empty"));
  const nodes = parts(text).map(({ text: plain, code }) =>
    code === undefined
      ? plain
      : el("span", { class: "sign", dir: "ltr", title: say("sign", { code }) }, code),
  );
  return el("div", { class: "text", dir: "auto", lang: lang || null }, nodes);
}

/** The turns of a prompt. A text without a role stands alone. */
export function turns(prompt) {
  return prompt.turns.map(({ role, text }) =>
    el(
      "div",
      { class: `turn ${["system", "user", "assistant"].includes(role) ? role : ""}` },
      role ? el("div", { class: "who" }, roleName(role)) : null,
      textBlock(text, prompt.lang),
    ),
  );
}

const roleName = (role) =>
  ["system", "user", "assistant"].includes(role) ? say(`role.${role}`) : role;
