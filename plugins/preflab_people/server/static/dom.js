// Elements without HTML: texts are texts, whatever they hold.

/** An element. Properties: `class`, `on*` listeners, and attributes (true: present, false or null:
 *  not). Children: elements, texts, or nothing. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Say something to a screen reader, again even if it is the same. */
export function announce(text, urgent = false) {
  const region = byId(urgent ? "alert" : "status");
  region.textContent = "";
  setTimeout(() => (region.textContent = text), 50);
}

/** Elements of a tree that the server made of Markdown. The list of tags stands on the server. */
export function tree(nodes) {
  return nodes.map((node) => {
    if (typeof node === "string") return document.createTextNode(node);
    const { tag, children, href, start } = node;
    const link = href ? { href, target: "_blank", rel: "noopener noreferrer" } : {};
    const made = el(tag, { ...link, start }, tree(children));
    return tag === "table" ? el("div", { class: "scroll", tabindex: "0", role: "group" }, made) : made;
  });
}
