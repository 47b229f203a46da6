// ---- all groups of a section in one chart ------------------------------------------------------------------------------
const MOST_GREY = 400;
const zooms = new Map(); // section → the stretch that the reader has chosen

drawers.overlay = (element) => {
  const id = element.dataset.section, own = section(id), taken = slotsOf(id);
  if (!own) return;
  const shown = own.groups.filter((group) => taken.has(group));
  const rest = own.groups.filter((group) => !taken.has(group)).slice(0, MOST_GREY);
  const series = [{}], xs = [], columns = [], bands = [], owner = [null], middles = new Map();
  const add = (group, one, x, y) => { series.push(one); owner.push(group); xs.push(x); columns.push({ x, y }); };
  for (const group of rest) {
    const c = curve(group, view.split);
    add(group, { ...middle(css("--others"), [], c.x.length === 1), width: 1 }, c.x, c.median);
  }
  for (const group of shown) {
    const c = curve(group, view.split), { colour, dash } = look(taken.get(group));
    if (c.low) {
      bands.push(band(series.length, colour));
      add(group, edge(), c.x, c.high);
      add(group, edge(), c.x, c.low);
    }
    middles.set(series.length, group);
    add(group, middle(colour, dash, c.x.length === 1), c.x, c.median);
  }
  const table = aligned(xs, columns), [least, most] = limits(own.groups, [view.split], own.limits?.[view.split]);
  const bottom = columns.slice(rest.length).reduce((low, c) => c.y.reduce((a, b) => (b != null && b < a ? b : a), low), least); // bands too
  const low = bottom < least ? (logy() ? bottom / 1.06 : bottom - 0.04 * (most - bottom)) : least, high = most;
  const name = `${view.split === "val" ? "validation" : "training"} ${measureName()}`;
  const title = document.querySelector(`[data-title="${id}"]`);
  if (title) title.textContent = capital(name);
  element.setAttribute("aria-label", `Chart: ${name} of ${plural(own.groups.length, "group")} of runs against ${page().axis}s. Left and right arrow keys show its values.`);
  const chart = element.curves = { id, element, table, middles, owner, shown, rest: own.groups.length - shown.length, room: labelRoom(shown, element), items: shown.map((group) => legendItem(group, taken)) };
  const tell = (u) => report(chart, u.cursor.idx == null || u.cursor.left < 0 ? null : u.cursor.idx, u.near);
  const made = plot(element, {
    height: 380, printed: 660, beside: chart.room,
    uplot: {
      scales: { x: { time: false, distr: view.logx ? 3 : 1, range: (u, a, b) => zooms.get(id)?.x ?? across(table[0]) }, y: { distr: logy() ? 3 : 1, range: () => zooms.get(id)?.y ?? [low, high] } },
      axes: axes({ x: { ...whole(), label: page().axis, labelSize: 18, labelFont: FONT, size: 30 }, y: { ...scale(), values: (u, splits) => splits.map(tick) } }),
      series, bands, padding: [10, 12, 0, 0],
      cursor: { y: false, drag: { x: true, y: true, uni: 30, setScale: false }, focus: { prox: 18 }, points: { show: false } },
      focus: { alpha: 0.3 },
      hooks: {
        draw: [(u) => drawLegend(chart, u)],
        setSelect: [(u) => zoom(u, id)],
        setCursor: [tell],
        setSeries: [(u, s) => { u.near = s == null ? null : owner[s]; tell(u); }],
      },
    },
  }, table);
  made.over.addEventListener("dblclick", () => { zooms.delete(id); draw(element); });
  readable(element, made, table[0], (at) => report(chart, at, null));
  paintSwatches(element.closest("section") ?? document);
  report(chart, null, null);
};

function zoom(u, id) {
  const { left, top, width, height } = u.select, range = (scale, a, b) => [u.posToVal(a, scale), u.posToVal(b, scale)].sort((p, q) => p - q);
  if (width < 4 && height < 4) return;
  const inner = { width: u.over.clientWidth, height: u.over.clientHeight };
  zooms.set(id, { x: width < inner.width ? range("x", left, left + width) : null, y: height < inner.height ? range("y", top, top + height) : null });
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  u.setData(u.data);
}

const legendOf = (id) => document.querySelector(`[data-legend="${id}"]`);
const readoutOf = (id) => document.querySelector(`[data-readout="${id}"]`);

function legendItem(group, taken) {
  const item = make("li", { "data-group": group }), { colour, dash } = look(taken.get(group));
  item.innerHTML = `${swatch(colour, dash)}<span class="label"></span><span class="value"></span>`;
  item.querySelector(".label").textContent = shortOf(group);
  item.title = labelOf(group);
  return item;
}

const pen = document.createElement("canvas").getContext("2d");
function widthOf(words) {
  pen.font = '600 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
  return pen.measureText(words).width;
}

// Room for labels at the ends of the lines: 0 if they do not fit, and are in a legend below instead.
function labelRoom(shown, element) {
  const longest = Math.max(0, ...shown.map((group) => widthOf(shortOf(group)) + widthOf(text(curve(group, view.split).median.findLast((v) => v != null))))) + 54;
  return shown.length && shown.length <= 10 && longest <= Math.min(340, element.clientWidth * 0.42) && !printing() ? Math.ceil(longest) : 0;
}

function drawLegend(chart, made) {
  enter(chart.id);
  const { items } = chart;
  chart.element.querySelector(".ends")?.remove();
  const labels = chart.room ? items.map((item, i) => {
    const last = curve(chart.shown[i], view.split).median.findLast((v) => v != null);
    return { item, y: last == null ? made.over.clientHeight : Math.min(Math.max(made.valToPos(last, "y"), 0), made.over.clientHeight) };
  }) : null;
  const placed = labels && apart(labels, 2, made.over.clientHeight + 14, 19);
  if (placed) {
    for (const { item, y } of placed) item.style.top = `${made.over.offsetTop + y - 10}px`;
    const ends = make("ul", { class: "ends", style: `width:${chart.room}px` }, ...items);
    chart.element.append(ends);
  }
  legendOf(chart.id)?.replaceChildren(...(placed ? [] : items));
}

function report(chart, at, near) {
  enter(chart.id);
  const { id, table, middles, owner } = chart, axis = page().axis, readout = readoutOf(id);
  const found = new Map([...middles].map(([s, group]) => [group, at == null ? null : table[s][at]]));
  for (const item of chart.items ?? []) {
    const group = item.dataset.group;
    item.querySelector(".value").textContent = at == null ? "" : text(found.get(group));
    item.classList.toggle("near", group === near);
  }
  if (!readout) return;
  const grey = chart.rest ? ` ${chart.rest} more ${chart.rest === 1 ? "group is" : "groups are"} grey; select groups in the table.` : "";
  const most = page().thinned ? ` Curves of more than ${page().thinned} values are thinned; each stretch keeps its lowest and highest.` : "";
  if (at == null) readout.textContent = `Point at ${axis === "epoch" || axis === "evaluation" ? "an" : "a"} ${axis} or use the arrow keys to read the medians over seeds.${grey}${most}`;
  else {
    const hidden = near != null && !found.has(near) ? `; nearest: ${shortOf(near)} ${text(table[owner.indexOf(near)][at])}` : "";
    readout.textContent = `${capital(axis)} ${table[0][at]}${hidden}`;
    if (document.activeElement === chart.element) {
      readout.textContent += ": " + [...found].slice(0, 7).map(([g, v]) => `${shortOf(g)} ${text(v)}`).join(", ");
    }
  }
}
