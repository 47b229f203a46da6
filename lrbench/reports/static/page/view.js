// ---- what the reader has chosen --------------------------------------------------------------------------------------
const view = { measure: Object.keys(page().metrics)[0], split: page().split, logy: true, logx: false, near: null, family: null };
const slots = new Map(); // section → (group → index of its colour and dash)
const DASHES = [[], [9, 3], [2, 2.5], [10, 3, 2, 3]];
const COLOURS = 12;
const dashAt = (slot) => DASHES[(slot + Math.floor(slot / 4)) % DASHES.length];
const look = (slot) => ({ colour: css(`--c${slot % COLOURS}`), dash: dashAt(slot) }); // 48 combinations; neighbours differ in both

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

function draw(element) {
  drawers[element.dataset.chart]?.(element);
}
function watch() {
  for (const [element, plot] of plots) if (!element.isConnected) { plot.destroy(); plots.delete(element); seen.delete(element); }
  for (const element of all("[data-chart]")) if (!element.watched) { element.watched = true; watcher.observe(element); }
}
function redraw() {
  ranges.clear();
  for (const box of all("input[data-view=logy]")) box.disabled = !loggable();
  for (const element of seen) if (element.isConnected) draw(element);
}
