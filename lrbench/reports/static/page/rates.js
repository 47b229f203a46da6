// ---- the lead figure: the measure against the learning rate, a line for each family ---------------------------------------
const ABOVE = 60; // times the best: higher values are drawn at the edge

function rateScales(own) {
  const { measure, families } = own, points = families.flatMap((f) => f.points);
  const rates = points.map((p) => p.lr), values = points.flatMap((p) => [p.centre, ...p.seeds]).filter((v) => v != null);
  for (const f of families) if (f.optimum) values.push(f.optimum.value);
  const log = measure.ratio && values.every((v) => v > 0);
  let low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (low > high) [low, high] = log ? [0.1, 1] : [0, 1];
  if (log) [low, high] = measure.lower ? [low / 1.12, Math.min(high, low * ABOVE) * 1.15] : [Math.max(low, high / ABOVE) / 1.15, high * 1.12];
  else { const room = 0.07 * (high - low || Math.abs(high) || 1); [low, high] = [low - room, high + room]; }
  const least = rates.reduce((a, b) => Math.min(a, b), Infinity), most = rates.reduce((a, b) => Math.max(a, b), 0);
  const wide = least === most ? 2 : (most / least) ** 0.04;
  return {
    x: { min: least / wide, max: most * wide, log: true, label: "learning rate", text: (v) => rateText(v) },
    y: { min: low, max: high, log, text: (v) => (measure.form === "percent" ? `${Number((100 * v).toPrecision(3))} %` : number(v)) },
  };
}

drawers.rates = (element) => {
  const own = section(element.dataset.section);
  if (!own?.families.length) return;
  const coloured = own.families.filter((f) => f.slot != null), several = own.families.length > 1;
  const short = new Map(coloured.map((f) => [f, several ? f.short ?? f.label : ""]));
  const longest = Math.max(0, ...[...short.values()].map(widthOf));
  const direct = several && coloured.length <= 6 && longest <= 190 && element.clientWidth > 460;
  const lost = own.families.some((f) => f.points.some((p) => p.lost)), stars = coloured.filter((f) => f.optimum || f.edge);
  const band = lost ? 12 + 9 * Math.min(coloured.filter((f) => f.points.some((p) => p.lost)).length, 5) : 0;
  if (!printing()) element.style.height = `${(element.clientWidth < 420 ? 290 : 370) + band + 14 * stars.length}px`;
  const made = figure(element, { ...rateScales(own), right: direct ? longest + 40 : 16, strip: stars.length ? 8 + 14 * stars.length : 0, band });
  const { svg, Y, box } = made, edgeY = box.top - 8;
  const marks = []; // what can be pointed at
  const place = (v) => Math.min(Math.max(Y(v), box.top), box.bottom);
  const ordered = [...own.families].reverse().sort((a, b) => (a.slot == null ? 0 : 1) - (b.slot == null ? 0 : 1));
  for (const f of ordered) svg.append(familyMarks(f, own, made, { place, edgeY, marks, few: coloured.length <= 3, lostRow: rowsOf(coloured.filter((one) => one.points.some((p) => p.lost))) }));
  if (lost) svg.append(mark("text", { class: "band-label", x: box.left, y: 9 }, "✕ diverged or failed"));
  stars.forEach((f, i) => svg.append(star(f, made, box.bottom + 12 + 14 * i)));
  if (direct) svg.append(endLabels(coloured, short, made, place));
  const ring = mark("circle", { class: "ring", r: 9, visibility: "hidden" });
  svg.append(ring);
  element.replaceChildren(svg);
  element.lead = { own, marks, ring, at: null };
  pointing(element, made);
  highlight();
};

const rowsOf = (families) => new Map(families.map((f, i) => [f, i % 5]));

function familyMarks(f, own, { X, Y, box }, { place, edgeY, marks, few, lostRow }) {
  const group = mark("g", { class: f.slot == null ? "family grey" : "family", "data-family": f.id, style: `color:${colourOf(f.slot)}` });
  const known = f.points.filter((p) => p.centre != null);
  if (f.optimum && few) group.append(mark("path", { class: "fit", d: line(f.optimum.curve.filter(([, v]) => v > 0 || !own.measure.ratio).map(([lr, v]) => [X(lr), place(v)])) }));
  group.append(mark("path", { class: "line", d: line(known.map((p) => [X(p.lr), place(p.centre)])), "stroke-dasharray": dashOf(f.slot) }));
  for (const p of f.points) {
    const at = { family: f, point: p, x: X(p.lr), y: p.centre == null ? edgeY : place(p.centre) };
    if (p.centre != null || p.lost) marks.push(at);
    if (f.slot == null) continue;
    if (p.seeds.length > 1) {
      const [a, b] = [Math.min(...p.seeds), Math.max(...p.seeds)].map(place);
      group.append(mark("line", { class: "seeds", x1: at.x, x2: at.x, y1: a, y2: b }));
    }
    if (p.centre != null) {
      const beyond = Y(p.centre) < box.top - 1 || Y(p.centre) > box.bottom + 1;
      group.append(mark("path", { class: p.lost ? "point hollow" : "point", d: beyond ? "M-5 3L0 -5L5 3Z" : markerOf(f.slot), transform: `translate(${at.x.toFixed(1)} ${at.y.toFixed(1)})` }));
    }
    if (p.lost) {
      const y = edgeY - 9 * lostRow.get(f);
      group.append(mark("path", { class: "lost", d: "M-4 -4L4 4M-4 4L4 -4", transform: `translate(${at.x.toFixed(1)} ${y.toFixed(1)})` }));
      if (p.centre == null) at.y = y;
    }
  }
  return group;
}

// The minimum with its interval; an arrow where it lies beyond those tried.
function star(f, { X, box }, y) {
  if (!f.optimum) {
    const x = X(f.points.find((p) => p.id === f.best).lr), way = f.edge === "highest" ? 1 : -1, tip = x + 16 * way;
    return mark("g", { class: "optimum", "data-family": f.id, style: `color:${colourOf(f.slot)}` },
      mark("path", { d: `M${x - 4 * way} ${y}H${tip}M${tip - 5 * way} ${y - 4}L${tip} ${y}L${tip - 5 * way} ${y + 4}` }));
  }
  const { lr, low, high } = f.optimum, [a, b] = [low, high].map((v) => Math.min(Math.max(X(v), box.left), box.right));
  const group = mark("g", { class: "optimum", "data-family": f.id, style: `color:${colourOf(f.slot)}` });
  group.append(mark("path", { d: `M${a} ${y}H${b}M${a} ${y - 4}V${y + 4}M${b} ${y - 4}V${y + 4}` }), mark("path", { class: "star", d: STAR, transform: `translate(${X(lr).toFixed(1)} ${y})` }));
  return group;
}

function endLabels(families, short, { X, box }, place) {
  const group = mark("g", { class: "end-labels" });
  const labels = families.flatMap((f) => {
    const last = f.points.findLast((p) => p.centre != null);
    return last ? [{ f, x: X(last.lr), y: place(last.centre) + 4, end: place(last.centre) }] : [];
  });
  for (const one of apart(labels, box.top + 4, box.bottom, 15) ?? []) {
    if (box.right - one.x > 3) group.append(mark("path", { class: "leader", d: `M${one.x + 7} ${one.end}L${box.right} ${one.y - 4}` }));
    group.append(mark("g", { "data-family": one.f.id, style: `color:${colourOf(one.f.slot)}` },
      mark("path", { class: "point", d: markerOf(one.f.slot), transform: `translate(${box.right + 14} ${one.y - 4})` }), mark("text", { x: box.right + 24, y: one.y }, short.get(one.f))));
  }
  return group;
}

// ---- pointing at it, with the pointer or the keys ---------------------------------------------------------------------------
function pointing(element, { box }) {
  const { marks } = element.lead;
  const nearest = (event) => {
    const frame = element.getBoundingClientRect(), x = event.clientX - frame.left, y = event.clientY - frame.top;
    let best = null, least = Infinity; // the nearest learning rate, and there the nearest line
    for (const one of marks) {
      const far = 4 * (one.x - x) ** 2 + (one.y - y) ** 2 + (one.family.slot == null ? 300 : 0);
      if (far < least) { least = far; best = one; }
    }
    return best;
  };
  element.onpointermove = (event) => pointAt(nearest(event)?.point.id ?? null);
  element.onpointerleave = () => pointAt(null);
  element.onclick = (event) => { const one = nearest(event); if (one) togglePin(one.point.id); };
  element.onkeydown = (event) => {
    const now = marks.find((one) => one.point.id === view.near) ?? null, family = now?.family ?? element.lead.own.families[0];
    const along = marks.filter((one) => one.family === family), families = [...new Set(element.lead.own.families)];
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -1e6, End: 1e6 }[event.key], jump = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") pointAt(null);
    else if ((event.key === "Enter" || event.key === " ") && now) togglePin(now.point.id);
    else if (step) {
      const start = now ? along.indexOf(now) + step : along.findIndex((one) => one.point.id === family.best);
      pointAt(along[Math.min(Math.max(start, 0), along.length - 1)]?.point.id ?? null);
    } else if (jump) {
      const other = families[(families.indexOf(family) + jump + families.length) % families.length];
      const there = marks.filter((one) => one.family === other);
      pointAt(there.reduce((a, b) => (Math.abs(b.x - (now?.x ?? box.left)) < Math.abs((a?.x ?? 1e9) - (now?.x ?? box.left)) ? b : a), null)?.point.id ?? null);
    } else return;
    event.preventDefault();
  };
}

// What the readout under the figure says of a point.
function pointWords(own, family, p) {
  const several = own.families.length > 1 ? `${family.short ?? family.label}, ` : "", text = (v) => measureText(own.measure, v);
  const ends = p.seeds.length > 1 ? `, seeds ${text(Math.min(...p.seeds))} to ${text(Math.max(...p.seeds))}` : p.seeds.length ? ", one seed" : "";
  const lost = p.lost ? `; ${p.lost} of ${p.lost + p.seeds.length} diverged or failed` : "", open = p.open ? `; ${plural(p.open, "run")} not finished` : "";
  return `${several}learning rate ${rateText(p.lr)}: ${p.centre == null ? "no value" : text(p.centre)}${ends}${lost}${open}`;
}
