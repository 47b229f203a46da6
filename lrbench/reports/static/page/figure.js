// ---- figures in SVG: axes and marks ------------------------------------------------------------------------------------
const SVG = "http://www.w3.org/2000/svg";
function mark(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const MARKERS = ["M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z", "M-3.6 -3.6H3.6V3.6H-3.6Z", "M0 -5L5 0L0 5L-5 0Z", "M-4.6 -3.4H4.6L0 4.6Z", "M-4.6 3.4H4.6L0 -4.6Z", "M-1.6 -5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z", "M0 -5.4L4.6 -2.7V2.7L0 5.4L-4.6 2.7V-2.7Z", "M-5 0L-1.8 -1.8L0 -5L1.8 -1.8L5 0L1.8 1.8L0 5L-1.8 1.8Z"];
const STAR = "M0 -8L2 -2.6L7.6 -2.5L3.2 1L4.7 6.5L0 3.3L-4.7 6.5L-3.2 1L-7.6 -2.5L-2 -2.6Z";
const colourOf = (slot) => (slot == null ? "var(--others)" : `var(--c${slot % COLOURS})`);
const dashOf = (slot) => (slot == null ? "" : dashAt(slot).join(" "));

function scaleOf({ min, max, log }, from, to) {
  const turn = log ? Math.log : (v) => v, a = turn(min), b = turn(max);
  const place = (v) => from + (to - from) * (turn(v) - a) / (b - a || 1);
  place.inverse = (at) => { const v = a + (b - a) * (at - from) / (to - from); return log ? Math.exp(v) : v; };
  return place;
}

// An empty figure with axes; `x` and `y` say min, max, log, label and how ticks are written.
function figure(element, { x, y, right = 14, height }) {
  const width = printing() ? 640 : Math.max(element.clientWidth, 240), tall = printing() ? 320 : element.clientHeight || height || 320;
  const box = { left: 54, right: width - right, top: 14, bottom: tall - 42 };
  const X = scaleOf(x, box.left, box.right), Y = scaleOf(y, box.bottom, box.top);
  const svg = mark("svg", { width, height: tall, viewBox: `0 0 ${width} ${tall}`, "aria-hidden": "true", class: "figure-svg" });
  const grid = mark("g", { class: "grid" }), words = mark("g", { class: "ticks" });
  const room = (box.right - box.left) / 52;
  const xs = x.ticks ?? (x.log ? logTicks(x.min, x.max) : evenTicks(x.min, x.max, room));
  const every = Math.ceil(xs.length / room);
  xs.forEach((v, i) => {
    grid.append(mark("line", { x1: X(v), x2: X(v), y1: box.top, y2: box.bottom }));
    if (i % every === 0) words.append(mark("text", { x: X(v), y: box.bottom + 17, "text-anchor": "middle" }, x.text(v)));
  });
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

// The swatches in tables have the look of the lines.
function paintSwatches(from = document) {
  for (const svg of all("svg.swatch", from)) {
    const slot = svg.dataset.slot ?? slotsOf(row(svg.dataset.of)?.section).get(svg.dataset.of);
    if (slot == null) { svg.replaceChildren(mark("line", { x1: 1, x2: 29, y1: 6, y2: 6, stroke: "var(--others)", "stroke-width": 2 })); continue; }
    svg.replaceChildren(
      mark("line", { x1: 1, x2: 29, y1: 6, y2: 6, stroke: colourOf(slot), "stroke-width": 2, "stroke-dasharray": dashOf(slot) }),
      svg.dataset.of ? "" : mark("path", { d: MARKERS[slot % MARKERS.length], transform: "translate(15 6)", fill: colourOf(slot) }),
    );
  }
  for (const svg of all("svg.whisker[data-colour]", from)) svg.style.color = colourOf(Number(svg.dataset.colour));
}
