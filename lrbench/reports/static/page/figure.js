// ---- figures in SVG: axes and marks ------------------------------------------------------------------------------------
const SVG = "http://www.w3.org/2000/svg";
function mark(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const STAR = "M0 -8L2 -2.6L7.6 -2.5L3.2 1L4.7 6.5L0 3.3L-4.7 6.5L-3.2 1L-7.6 -2.5L-2 -2.6Z";
const colourOf = (slot) => (slot == null ? "var(--others)" : lookOf(slot).colour);
const dashOf = (slot) => (slot == null ? "" : lookOf(slot).dash);
const markerOf = (slot) => lookOf(slot ?? 0).marker;

function scaleOf({ min, max, log }, from, to) {
  const turn = log ? Math.log : (v) => v, a = turn(min), b = turn(max);
  const place = (v) => from + (to - from) * (turn(v) - a) / (b - a || 1);
  place.inverse = (at) => { const v = a + (b - a) * (at - from) / (to - from); return log ? Math.exp(v) : v; };
  return place;
}

// An empty figure with axes; `x` and `y` say min, max, log, label and how ticks are written.
function figure(element, { x, y, right = 14, height, strip = 0, band = 0 }) {
  const width = printing() ? 640 : Math.max(element.clientWidth, 240), tall = printing() ? 320 : element.clientHeight || height || 320;
  const box = { left: 54, right: width - right, top: 10 + band, bottom: tall - 42 - strip };
  const X = scaleOf(x, box.left, box.right), Y = scaleOf(y, box.bottom, box.top);
  const svg = mark("svg", { width, height: tall, viewBox: `0 0 ${width} ${tall}`, "aria-hidden": "true", class: "figure-svg" });
  const grid = mark("g", { class: "grid" }), words = mark("g", { class: "ticks" });
  const room = (box.right - box.left) / 52;
  const xs = x.ticks ?? (x.log ? logTicks(x.min, x.max) : evenTicks(x.min, x.max, room));
  const every = Math.ceil(xs.length / room);
  xs.forEach((v, i) => {
    grid.append(mark("line", { x1: X(v), x2: X(v), y1: box.top, y2: box.bottom + strip }));
    if (i % every === 0) words.append(mark("text", { x: X(v), y: box.bottom + strip + 17, "text-anchor": "middle" }, x.text(v)));
  });
  if (x.log && x.max / x.min < 3e4) for (const v of minorTicks(x.min, x.max)) grid.append(mark("line", { class: "minor", x1: X(v), x2: X(v), y1: box.bottom, y2: box.bottom + 4 }));
  grid.append(mark("line", { class: "minor", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }));
  for (const v of y.log ? logTicks(y.min, y.max) : evenTicks(y.min, y.max, 6)) {
    grid.append(mark("line", { x1: box.left, x2: box.right, y1: Y(v), y2: Y(v) }));
    words.append(mark("text", { x: box.left - 8, y: Y(v) + 4, "text-anchor": "end" }, y.text(v)));
  }
  words.append(mark("text", { x: (box.left + box.right) / 2, y: tall - 6, "text-anchor": "middle", class: "axis-label" }, x.label));
  svg.append(grid, words);
  return { svg, X, Y, box, width, height: tall };
}

const line = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

// Move labels apart, keeping their order; null if they do not fit between top and bottom.
function apart(labels, top, bottom, gap) {
  const sorted = [...labels].sort((a, b) => a.y - b.y);
  if (sorted.length * gap > bottom - top) return null;
  let last = top - gap;
  for (const one of sorted) { one.y = Math.max(one.y, last + gap); last = one.y; }
  let next = bottom + gap;
  for (const one of sorted.reverse()) { one.y = Math.min(one.y, next - gap); next = one.y; }
  return labels;
}

// The swatches of groups in tables have the look of their lines; those of families never change.
function paintSwatches(from = document) {
  for (const svg of all("svg.swatch[data-of]", from)) {
    const slot = slotsOf(row(svg.dataset.of)?.section).get(svg.dataset.of);
    svg.replaceChildren(mark("line", { x1: 1, x2: 29, y1: 6, y2: 6, stroke: colourOf(slot), "stroke-width": 2, "stroke-dasharray": dashOf(slot) }));
  }
}
