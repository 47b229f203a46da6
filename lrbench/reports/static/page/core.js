// What all pieces of the page's script share. They are joined into one function, in the order of `SCRIPTS` in html.py.
const root = document.documentElement;
root.classList.remove("no-js");
const byId = (id) => document.getElementById(id);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const printing = () => root.classList.contains("printing");

// An HTML element: attributes, then children; text is only ever text.
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

// ---- data: plain values by key, as in `Update` ---------------------------------------------------------------------
const data = new Map();
const page = () => data.get("page") ?? { groups: [], metrics: { loss: {} }, words: { loss: "loss" }, axis: "epoch", split: "val", tables: [] };
const section = (id) => data.get(`section:${id}`);
const sections = () => [...data.keys()].filter((key) => key.startsWith("section:")).map((key) => key.slice(8)).sort();
const row = (id) => data.get(`row:${id}`);
const curves = (id) => data.get(`curves:${id}`) ?? { rate: { x: [], y: [] } };
const labelOf = (id) => row(id)?.label ?? "";
const shortOf = (id) => row(id)?.short || labelOf(id); // without what all groups share
for (const [key, value] of Object.entries(JSON.parse(byId("data")?.textContent ?? "{}"))) data.set(key, value);
