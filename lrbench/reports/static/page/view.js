// ---- what the reader has chosen --------------------------------------------------------------------------------------
const view = { measure: Object.keys(page().metrics)[0], wanted: new Map(), split: page().split, logy: true, logx: false, near: null, family: null };
const slots = new Map(); // section → (group → index of its colour and dash)
const lookOf = (slot) => page().looks[slot % page().looks.length]; // neighbours differ in colour, dash and marker
const look = (slot) => ({ colour: css(lookOf(slot).colour.slice(4, -1)), dash: lookOf(slot).dash.split(" ").filter(Boolean).map(Number) });

function slotsOf(id) {
  if (!slots.has(id)) slots.set(id, new Map((section(id)?.picked ?? []).map((group, slot) => [group, slot])));
  return slots.get(id);
}
const isDrawn = (group) => slotsOf(row(group)?.section).has(group);

function pick(group, on) {
  const taken = slotsOf(row(group)?.section);
  if (!on) taken.delete(group);
  else if (!taken.has(group)) {
    const used = new Set(taken.values());
    let slot = 0;
    while (used.has(slot)) slot += 1;
    taken.set(group, slot);
  }
}

function swatch(colour, dash) {
  return `<svg viewBox="0 0 40 10" aria-hidden="true"><line x1="0" y1="5" x2="40" y2="5" stroke="${colour}" stroke-width="2.4" stroke-dasharray="${dash.join(" ")}"/></svg>`;
}

// ---- charts are drawn when they come near the screen -------------------------------------------------------------------
const drawers = {}; // kind of chart → how to draw one
const plots = new Map(); // element → its uPlot
const seen = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) { watcher.unobserve(target); seen.add(target); draw(target); }
}, { rootMargin: "400px" });

// The metric that a section shows; tasks have metrics of their own.
function enter(id) {
  view.measure = view.wanted.get(id) ?? section(id)?.metrics?.[0] ?? view.measure;
}
const sectionOf = (element) => element.dataset.section ?? row(element.closest("[data-group]")?.dataset.group)?.section;

function draw(element) {
  enter(sectionOf(element));
  drawers[element.dataset.chart]?.(element);
}
function watch() {
  for (const [element, plot] of plots) if (!element.isConnected) { plot.destroy(); plots.delete(element); seen.delete(element); }
  for (const element of all("[data-chart]")) if (!element.watched) { element.watched = true; watcher.observe(element); }
}
function redraw() {
  ranges.clear();
  for (const box of all("input[data-view=logy]")) { enter(box.closest(".switches").id.replace("switches-", "")); box.disabled = !loggable(); }
  for (const element of seen) if (element.isConnected) draw(element);
}
