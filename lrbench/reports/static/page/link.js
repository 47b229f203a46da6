// ---- what is pointed at, and what is kept: the same in figures, tables, heat map and panels ------------------------------------
const pins = []; // groups, in the order in which they were kept
const added = new Set(); // groups whose curves are drawn only because they are kept

function familyOf(group) {
  for (const id of sections()) {
    const found = section(id).families.find((f) => f.points.some((p) => p.id === group));
    if (found) return found;
  }
  return null;
}

// Point at a group, or at a family alone.
function pointAt(group, family = group && familyOf(group)?.id) {
  if (view.near === group && view.family === (family ?? null)) return;
  view.near = group;
  view.family = family ?? null;
  highlight();
}

function highlight() {
  for (const one of all(".near, .near-family, .far")) one.classList.remove("near", "near-family", "far");
  if (view.near) for (const one of all(`[data-group="${view.near}"]`)) one.classList.add("near");
  if (view.family) {
    for (const one of all(`tr[data-family="${view.family}"]`)) one.classList.add("near-family");
    for (const one of all("svg .family[data-family], svg .optimum[data-family], svg .end-labels [data-family]")) one.classList.toggle("far", one.dataset.family !== view.family);
  }
  for (const chart of all("[data-chart=rates]")) showPoint(chart);
  for (const chart of all("[data-chart=overlay]")) focusCurve(chart);
  for (const one of all("[data-pin]")) one.setAttribute("aria-pressed", String(pins.includes(one.dataset.pin)));
  for (const one of all(".results tr, .heat td[data-group], .lead-table tr")) one.classList.toggle("pinned", pins.includes(one.dataset.group ?? one.dataset.best));
}

// The others fade, as in the lead figure.
function focusCurve(chart) {
  const plot = plots.get(chart), { middles } = chart.curves ?? {};
  if (!plot || !middles || chart.focused === view.near) return;
  chart.focused = view.near;
  const found = [...middles].find(([, group]) => group === view.near)?.[0] ?? null;
  plot.setSeries(found, { focus: found != null }, false);
}

function showPoint(chart) {
  if (!chart.lead) return;
  const { own, marks, ring } = chart.lead, one = marks.find((m) => m.point.id === view.near), readout = readoutOf(`rates-${chart.dataset.section}`);
  ring.setAttribute("visibility", one ? "visible" : "hidden");
  if (one) { ring.setAttribute("cx", one.x); ring.setAttribute("cy", one.y); }
  for (const old of all(".kept", chart)) old.remove();
  for (const m of marks) if (pins.includes(m.point.id)) ring.before(mark("rect", { class: "kept", width: 16, height: 16, x: m.x - 8, y: m.y - 8, style: `color:${colourOf(m.family.slot)}` }));
  if (!readout) return;
  const stars = own.families.some((f) => f.optimum), beyond = own.families.some((f) => f.slot != null && f.edge && !f.optimum);
  const grey = own.families.filter((f) => f.slot == null).length;
  const hollow = own.families.some((f) => f.slot != null && f.points.some((p) => p.lost && p.centre != null));
  const key = [stars ? "★ minimum with its 95 % interval" : "", beyond ? "→ beyond those tried" : "", hollow ? "hollow: some seeds lost" : "", "Bars from the lowest to the highest seed", pins.length ? "framed: kept" : "", grey ? `${plural(grey, "more family").replace("familys", "families")} grey` : ""].filter(Boolean).join(" · ");
  readout.textContent = one ? pointWords(own, one.family, one.point) : `${key}. Point at a learning rate to read it, click to keep it.`;
}

function togglePin(group) {
  if (!row(group)) return;
  const at = pins.indexOf(group);
  if (at < 0) {
    pins.push(group);
    if (!isDrawn(group)) { pick(group, true); added.add(group); }
  } else {
    pins.splice(at, 1);
    if (added.delete(group)) pick(group, false);
  }
  showDock();
  ticked();
  highlight();
  for (const chart of all("[data-chart=overlay]")) if (seen.has(chart)) draw(chart);
}

const POINTED = ".results tr[data-group], .heat td[data-group], .lead-table tr[data-group], .legend li[data-group], #panels li[data-group]";
document.addEventListener("pointerover", ({ target }) => {
  if (!(target instanceof Element) || target.closest("[data-chart=rates]")) return;
  const group = target.closest(POINTED), family = target.closest("tr[data-family]");
  if (group) pointAt(group.dataset.group);
  else if (family) pointAt(family.dataset.best || null, family.dataset.family);
  else if (view.near || view.family) pointAt(null);
});
document.addEventListener("focusin", ({ target }) => {
  const line = target.closest("tr[data-family], .lead-table tr[data-group]");
  if (line) pointAt(line.dataset.best || line.dataset.group || null);
});
