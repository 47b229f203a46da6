// ---- parts: a new version of the page replaces only what changed ---------------------------------------------------------
const written = new Map(); // part → the HTML that was last given for it
const keyOf = (node) => (node.nodeType === 1 ? node.id || node.dataset.key || null : null);
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

// Make one node like another in place, so that focus, open details, scroll positions and what was typed stay.
function morph(from, to) {
  if (from.nodeType !== 1) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  const kept = (name) => (name === "open" && from.nodeName === "DETAILS") || name === "checked" || name === "aria-sort";
  if (to.hasAttribute("data-own")) return; // filled by this script
  for (const { name, value } of [...to.attributes]) if (!kept(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  for (const { name } of [...from.attributes]) if (!kept(name) && !to.hasAttribute(name)) from.removeAttribute(name);
  morphInside(from, to);
}

function morphInside(from, to) {
  const keyed = new Map([...from.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  const wanted = new Set([...to.childNodes].map(keyOf));
  let at = from.firstChild;
  for (const next of [...to.childNodes]) {
    const known = keyOf(next) ? keyed.get(keyOf(next)) : null;
    if (known && alike(known, next)) {
      while (at && at !== known && !(keyOf(at) && wanted.has(keyOf(at)))) { const gone = at; at = at.nextSibling; gone.remove(); } // what moves loses focus
      if (known === at) at = at.nextSibling;
      else from.insertBefore(known, at);
      morph(known, next);
    } else if (at && !keyOf(next) && alike(at, next)) {
      const same = at;
      at = at.nextSibling;
      morph(same, next);
    } else from.insertBefore(next, at);
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
}

function replaceParts(order, parts) {
  const main = byId("parts"), there = new Map([...main.children].filter((one) => one.dataset.part).map((one) => [one.dataset.part, one]));
  for (const [id, part] of there) if (!order.includes(id)) { written.delete(id); there.delete(id); part.remove(); }
  let at = main.firstElementChild;
  for (const id of order) {
    let part = there.get(id);
    if (!part) part = make("div", { class: "part", "data-part": id });
    if (part === at) at = at.nextElementSibling;
    else main.insertBefore(part, at);
    if (!(id in parts) || written.get(id) === parts[id]) continue;
    written.set(id, parts[id]);
    const template = make("template");
    template.innerHTML = parts[id];
    morphInside(part, template.content);
  }
}

// Show a new version: `order` lists all parts, `parts` and `data` have those that changed.
async function update({ order, parts = {}, data: changed = {} }) {
  await Promise.all([load("row"), load("curves")]);
  for (const [key, value] of Object.entries(changed)) data.set(key, value);
  searched.clear();
  above.clear();
  const held = [...byId("parts").children].find((one) => one.getBoundingClientRect().bottom > 0), top = held?.getBoundingClientRect().top;
  replaceParts(order, parts);
  show();
  if (held?.isConnected) scrollBy({ top: held.getBoundingClientRect().top - top, behavior: "instant" });
  await showDetails();
}

// Draw everything that depends on data.
function show() {
  paintSwatches();
  for (const { id } of page().tables) list(id);
  fillPanels();
  watch();
  redraw();
  if (pins.length) showDock();
  highlight();
}
window.lrbench = { update, replaceParts }; // the second for parts without charts
