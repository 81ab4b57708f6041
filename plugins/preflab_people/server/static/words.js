// The page's texts in the person's language, from the page itself.

const words = JSON.parse(document.getElementById("words").textContent);
export const language = document.documentElement.lang;
// Digits as they stand on the keys that are pressed for them.
const locale = `${language}-u-nu-latn`;
const plurals = new Intl.PluralRules(language);
const numbers = new Intl.NumberFormat(locale);

/** A text by its key, with {names} replaced. With `count` the key's plural form is taken. */
export function say(key, values = {}) {
  const plural = `${key}.${plurals.select(values.count ?? 0)}`;
  const text = words["count" in values && plural in words ? plural : key] ?? words[`${key}.other`] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? numbers.format(value) : value;
  });
}

/** Whether there is a text of that key: names that researchers chose have none. */
export const knows = (key) => key in words;

/** A name that a researcher chose: in the person's language where there is one. */
export const named = (group, name) =>
  knows(`${group}.${name}`) ? say(`${group}.${name}`) : name.replaceAll("_", " ");

/** The letter of an output by its place. */
export const letter = (place) =>
  place < 26 ? String.fromCharCode(65 + place) : letter(Math.floor(place / 26) - 1) + letter(place % 26);
