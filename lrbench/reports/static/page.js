"use strict";
// The page's charts and controls. uPlot draws the charts from the numbers in #curves; tables are plain HTML.
(() => {
  const root = document.documentElement;
  root.classList.remove("no-js");
  const byId = (id) => document.getElementById(id);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  const DASHES = [[], [9, 3], [2, 2.5], [10, 3, 2, 3]];
  const FONT = '12px system-ui, -apple-system, "Segoe UI", sans-serif';
  const look = (slot) => ({ colour: css(`--c${slot % 7}`), dash: DASHES[slot % DASHES.length] }); // 28 combinations; neighbours differ in both
  const number = (v) => (v == null ? "–" : Math.abs(v) >= 1e4 || (v && Math.abs(v) < 1e-4) ? v.toExponential(2) : String(Number(v.toPrecision(4))));
  const rateText = (given) => {
    const v = Number(given.toPrecision(2));
    return v === 0 || v >= 1e-3 ? String(v) : v.toExponential();
  };
  const percent = (v) => (v == null ? "–" : `${(100 * v).toFixed(2)} %`);

  // ---- data ------------------------------------------------------------------------------------------------------
  const source = byId("curves");
  const data = source ? JSON.parse(source.textContent) : { groups: [], picked: [], limits: {}, metrics: { loss: {} }, axis: "epoch" };
  const view = { measure: Object.keys(data.metrics)[0], split: document.querySelector("#switches input[name=split][checked]")?.value ?? "val", logy: true, logx: false };
  const slots = new Map(data.picked.map((group, slot) => [group, slot])); // group → index of its colour and dash
  const charts = new Map(); // element → its plot
  const metric = () => data.metrics[view.measure];
  const percents = () => metric().form === "percent";
  const above = new Map([["loss", !(data.limits.both?.[0] <= 0)]]); // measure → whether all its values are above 0
  function positive(measure) {
    if (!above.has(measure)) above.set(measure, data.groups.every((g) => ["train", "val"].every((split) => (g[`${split}_${measure}`]?.median ?? []).every((v) => v == null || v > 0))));
    return above.get(measure);
  }
  const loggable = () => percents() || positive(view.measure); // a log axis can't show values of 0 or less
  const logy = () => view.logy && loggable();
  const errors = () => percents() && metric().better === "higher" && logy(); // on a log axis, good values differ more as errors

  const text = (v) => (v == null ? "–" : percents() ? percent(v) : number(v));
  const tick = (v) => (v == null ? "" : percents() ? `${Number((100 * v).toPrecision(3))} %` : number(v));
  const drawable = (v) => (v == null || (logy() && v <= 0) ? null : v);
  const measureName = () => {
    const name = data.words[view.measure];
    return errors() ? `error, 1 − ${name}` : name;
  };

  function curve(group, split) {
    const { x, median, low, high } = group[`${split}_${view.measure}`] ?? { x: [], median: [] };
    const turn = errors() ? (v) => (v == null ? null : drawable(1 - v)) : drawable;
    const [bottom, top] = errors() ? [high, low] : [low, high];
    return { x, median: median.map(turn), low: bottom && bottom.map(turn), high: top && top.map(turn) };
  }

  function aligned(xs, columns) {
    const union = [...new Set(xs.flat())].sort((a, b) => a - b);
    const place = new Map(union.map((x, i) => [x, i]));
    return [union, ...columns.map(({ x, y }) => {
      const filled = new Array(union.length).fill(null);
      x.forEach((at, i) => { filled[place.get(at)] = y[i]; });
      return filled;
    })];
  }

  function limits(groups, splits, losses) {
    if (view.measure === "loss") {
      const [low, high] = losses;
      return logy() ? [low, high] : [Math.min(low, 0), high];
    }
    const found = groups.flatMap((g) => splits.flatMap((s) => curve(g, s).median)).filter((v) => v != null);
    if (!found.length) return logy() ? [0.01, 1] : [0, 1];
    const low = found.reduce((a, b) => Math.min(a, b)), high = found.reduce((a, b) => Math.max(a, b));
    if (!percents()) return logy() ? [low / 1.25, high * 1.4] : [low - 0.06 * (high - low || 1), high + 0.06 * (high - low || 1)];
    return logy() ? [low / 1.3, Math.min(1, high * 1.3)] : [Math.max(0, low - 0.03), Math.min(1, high + 0.03)];
  }

  // 1, 3, 10, … or 1, 2, 5, …, as many as are readable.
  function ticks(u, axis, min, max) {
    const decades = Math.log10(max / min), inner = decades > 2.5 ? [1] : decades > 1.3 ? [1, 3] : decades > 0.5 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
    const found = [];
    for (let e = Math.floor(Math.log10(min)); e <= Math.ceil(Math.log10(max)); e += 1) {
      for (const m of inner) { const v = Number((m * 10 ** e).toPrecision(3)); if (v >= min && v <= max) found.push(v); }
    }
    return found;
  }
  const scale = () => (logy() ? { splits: ticks, filter: (u, splits) => splits } : {});
  const whole = data.axis === "epoch" ? {} : { incrs: [1, 2, 5].flatMap((m) => [...Array(13).keys()].map((e) => m * 10 ** e)).sort((a, b) => a - b) };
  const across = (min, max) => (view.logx ? [Math.min(min, 1), Math.max(max, 2)] : [0, Math.max(max, 1) * 1.01]);

  function axes(side) {
    const common = { stroke: css("--soft"), font: FONT, grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1, size: 4 }, gap: 4 };
    return [{ ...common, size: 30, ...side.x }, { ...common, size: 56, ...side.y }];
  }

  const median = (label, colour, dash, single) => ({ label, stroke: colour, dash, width: 1.7, spanGaps: true, points: { show: single, size: 6, fill: colour } });
  const edge = () => ({ stroke: "transparent", width: 0, spanGaps: true, points: { show: false } });
  const band = (from, colour) => ({ series: [from, from + 1], fill: `${colour}26` });

  function plot(element, options, columns) {
    const old = charts.get(element);
    if (old && old.plot) old.plot.destroy();
    const width = root.classList.contains("printing") ? options.printed : element.clientWidth;
    const made = new uPlot({ width: Math.max(width, 80), height: element.clientHeight || options.height, legend: { show: false }, ...options.uplot }, columns, element);
    charts.set(element, { ...old, plot: made });
    return made;
  }

  // ---- all groups in one chart -----------------------------------------------------------------------------------
  const overlay = byId("overlay"), legend = byId("legend"), readout = byId("readout");

  function drawOverlay() {
    if (!overlay) return;
    const shown = [...slots.keys()].sort((a, b) => a - b);
    const rest = data.groups.map((_, i) => i).filter((i) => !slots.has(i));
    const series = [{}], xs = [], columns = [], bands = [], owner = [null], middles = new Map();
    const add = (group, one, x, y) => { series.push(one); owner.push(group); xs.push(x); columns.push({ x, y }); };
    for (const index of rest) {
      const c = curve(data.groups[index], view.split);
      add(index, { ...median("", css("--others"), [], c.x.length === 1), width: 1 }, c.x, c.median);
    }
    for (const index of shown) {
      const c = curve(data.groups[index], view.split), { colour, dash } = look(slots.get(index));
      if (c.low) {
        bands.push(band(series.length, colour));
        add(index, edge(), c.x, c.high);
        add(index, edge(), c.x, c.low);
      }
      middles.set(series.length, index);
      add(index, median("", colour, dash, c.x.length === 1), c.x, c.median);
    }
    const table = aligned(xs, columns), [low, high] = limits(data.groups, [view.split], data.limits[view.split]);
    const values = (at) => new Map([...middles].map(([s, group]) => [group, at == null ? null : table[s][at]]));
    const name = `${view.split === "val" ? "validation" : "training"} ${measureName()}`;
    byId("overlay-title").textContent = name[0].toUpperCase() + name.slice(1);
    overlay.setAttribute("aria-label", `Chart: ${name} of ${data.groups.length} groups of runs against ${data.axis}s. Left and right arrow keys show its values.`);
    const tell = (u) => report(u.cursor.idx == null || u.cursor.left < 0 ? null : u.cursor.idx, table, values, owner, u.near);
    const made = plot(overlay, {
      height: 380, printed: 660,
      uplot: {
        scales: { x: { time: false, distr: view.logx ? 3 : 1, range: (u, a, b) => (u.zoomed ? [a, b] : across(a, b)) }, y: { distr: logy() ? 3 : 1, range: (u, a, b) => (u.zoomed && a < b ? [a, b] : [low, high]) } },
        axes: axes({ x: { ...whole, label: data.axis, labelSize: 18, labelFont: FONT, size: 30 }, y: { ...scale(), values: (u, splits) => splits.map(tick) } }),
        series, bands, padding: [10, 12, 0, 0],
        cursor: { y: false, drag: { x: true, y: true, uni: 30 }, focus: { prox: 18 }, points: { show: false } },
        focus: { alpha: 1 },
        hooks: {
          setSelect: [(u) => { u.zoomed = true; }],
          setCursor: [tell],
          setSeries: [(u, s) => { u.near = s == null ? null : owner[s]; tell(u); }],
        },
      },
    }, table);
    made.over.addEventListener("dblclick", () => { made.zoomed = false; drawOverlay(); });
    readable(overlay, made, table[0], (at) => { report(at, table, values, owner, null); });
    drawLegend(shown);
    report(null, table, values, owner, null);
  }

  function swatch(colour, dash) {
    return `<svg viewBox="0 0 40 10" aria-hidden="true"><line x1="0" y1="5" x2="40" y2="5" stroke="${colour}" stroke-width="2.4" stroke-dasharray="${dash.join(" ")}"/></svg>`;
  }

  function drawLegend(shown) {
    legend.replaceChildren(...shown.map((index) => {
      const item = document.createElement("li"), { colour, dash } = look(slots.get(index));
      item.innerHTML = `${swatch(colour, dash)}<span class="label"></span><span class="value"></span>`;
      item.dataset.group = index;
      item.querySelector(".label").textContent = item.title = data.groups[index].label;
      return item;
    }));
  }

  function report(at, table, values, owner, near) {
    const found = values(at);
    for (const item of legend.children) {
      const index = Number(item.dataset.group), c = curve(data.groups[index], view.split).median;
      item.querySelector(".value").textContent = text(at == null ? c.findLast((v) => v != null) : found.get(index));
      item.classList.toggle("near", index === near);
    }
    const left = data.groups.length - slots.size;
    const grey = left ? ` ${left} more ${left === 1 ? "group is" : "groups are"} grey; select groups in the table.` : "";
    if (at == null) readout.textContent = `The legend shows final values. Point at ${data.axis === "step" ? "a" : "an"} ${data.axis} or use the arrow keys to see its values.${grey}`;
    else {
      const hidden = near != null && !slots.has(near) ? `; nearest: ${data.groups[near].label} ${text(table[owner.indexOf(near)][at])}` : "";
      readout.textContent = `${data.axis[0].toUpperCase()}${data.axis.slice(1)} ${table[0][at]}${hidden}`;
      if (document.activeElement === overlay) {
        readout.textContent += ": " + [...found].slice(0, 7).map(([g, v]) => `${data.groups[g].label} ${text(v)}`).join(", ");
      }
    }
  }

  // Arrow keys move a chart's cursor like the pointer.
  function readable(element, chart, xs, told) {
    let at = -1;
    element.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -xs.length, End: xs.length }[event.key];
      if (event.key === "Escape") { at = -1; chart.setCursor({ left: -10, top: -10 }); }
      if (!step || !xs.length) return;
      event.preventDefault();
      at = Math.min(Math.max(at + step, 0), xs.length - 1);
      chart.setCursor({ left: chart.valToPos(xs[at], "x"), top: 4 });
      told(at);
    };
  }

  // ---- a panel for each group ------------------------------------------------------------------------------------
  const panels = all("#panels .card");

  function drawPanel(card) {
    const group = data.groups[Number(card.dataset.group)], line = card.querySelector(".readout");
    const losses = card.querySelector(".losses"), rates = card.querySelector(".rates");
    if (!losses) return;
    const series = [{}], xs = [], columns = [], bands = [], places = {}, rated = group.rate.x.length > 0;
    card.querySelector(".both").classList.toggle("alone", !rated);
    for (const [split, colour, dash] of [["train", css("--c1"), [5, 3]], ["val", css("--c0"), []]]) {
      const c = curve(group, split);
      const add = (one, y) => { series.push(one); xs.push(c.x); columns.push({ x: c.x, y }); };
      if (c.low) {
        bands.push(band(series.length, colour));
        add(edge(), c.high);
        add(edge(), c.low);
      }
      places[split] = series.length;
      add(median("", colour, dash, c.x.length === 1), c.median);
    }
    const table = aligned(xs, columns), task = group.task;
    const range = shared[task] ??= limits(data.groups.filter((g) => g.task === task), ["train", "val"], data.tasks[task]);
    const last = Math.max(...table[0], ...group.rate.x.slice(-1), 1);
    const x = { time: false, distr: view.logx ? 3 : 1, range: view.logx ? [Math.min(1, last / 2), Math.max(last, 2)] : [0, last * 1.01] };
    const sync = { key: "panels", scales: ["x", null], setSeries: false };
    const beyond = columns.flatMap((c) => c.y).filter((v) => v != null && v > range[1]);
    const off = beyond.length ? `; off the scale: up to ${text(beyond.reduce((a, b) => Math.max(a, b)))}` : "";
    const tell = (at) => {
      if (at == null) { line.textContent = line.dataset.words + off; return; }
      const epoch = table[0][at], before = group.rate.x.findLastIndex((e) => e <= epoch);
      const rate = rated ? `, learning rate ${rateText(group.rate.y[Math.max(before, 0)] ?? 0)}` : "";
      line.textContent = `${data.axis} ${epoch}: validation ${text(table[places.val][at])}, training ${text(table[places.train][at])}${rate}`;
    };
    tell(null);
    const upper = plot(losses, {
      height: 170, printed: 190,
      uplot: {
        scales: { x, y: { distr: logy() ? 3 : 1, range } },
        axes: axes({ x: rated ? { values: (u, s) => s.map(() => ""), size: 6 } : { ...whole, label: data.axis, labelSize: 16, labelFont: FONT, size: 26 }, y: { ...scale(), values: (u, s) => s.map(tick), size: 50 } }),
        series, bands, padding: [8, 8, 0, 0], cursor: { y: false, drag: { x: false, y: false }, points: { show: false }, sync },
        hooks: { setCursor: [(u) => tell(u.cursor.left < 0 ? null : u.cursor.idx)] },
      },
    }, table);
    readable(card.querySelector(".both"), upper, table[0], tell);
    if (!rated) { rates.hidden = true; return; }
    const top = group.rate.y.reduce((a, b) => Math.max(a, b ?? 0), 0) || 1, ink = css("--soft");
    plot(rates, {
      height: 92, printed: 190,
      uplot: {
        scales: { x, y: { range: [0, top * 1.2] } },
        axes: axes({ x: { ...whole, label: data.axis, labelSize: 16, labelFont: FONT, size: 26 }, y: { splits: () => [0, top], values: (u, s) => s.map(rateText), size: 50 } }),
        padding: [8, 8, 0, 0],
        series: [{}, { stroke: ink, width: 1.3, fill: `${ink}1f`, points: { show: group.rate.x.length === 1 } }],
        cursor: { y: false, drag: { x: false, y: false }, points: { show: false }, sync },
      },
    }, [group.rate.x, group.rate.y]);
  }

  let shared = {}; // task → limits of the loss axis of its panels
  const waiting = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting) { waiting.unobserve(one.target); one.target.drawn = true; drawPanel(one.target); }
  }, { rootMargin: "400px" });
  for (const card of panels) waiting.observe(card);

  function redraw() {
    shared = {};
    const box = document.querySelector("#switches input[name=logy]");
    if (box) box.disabled = !loggable();
    drawOverlay();
    for (const card of panels) if (card.drawn) drawPanel(card);
  }
  redraw();

  const more = byId("more-panels");
  more?.addEventListener("click", () => {
    for (const card of panels) card.classList.remove("hidden");
    more.parentElement.remove();
  });

  // ---- switches --------------------------------------------------------------------------------------------------
  for (const input of all("#switches input")) {
    input.addEventListener("change", () => {
      if (input.type === "radio") view[input.name] = input.value;
      else view[input.name] = input.checked;
      redraw();
    });
    if (input.checked !== input.defaultChecked) input.checked = input.defaultChecked; // a browser may restore the state of the last visit
  }

  let last = innerWidth, timer = 0;
  addEventListener("resize", () => {
    if (innerWidth === last || root.classList.contains("printing")) return;
    last = innerWidth;
    clearTimeout(timer);
    timer = setTimeout(redraw, 120);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  function printing(on) {
    if (root.classList.contains("printing") === on) return;
    root.classList.toggle("printing", on);
    if (on) for (const card of panels) if (!card.classList.contains("hidden")) { waiting.unobserve(card); card.drawn = true; }
    redraw();
  }
  addEventListener("beforeprint", () => printing(true));
  addEventListener("afterprint", () => printing(false));
  matchMedia("print").addEventListener("change", (event) => printing(event.matches));

  // ---- the table -------------------------------------------------------------------------------------------------
  const results = byId("results");
  if (results) {
    const body = results.tBodies[0], rows = [...body.rows], headings = [...results.tHead.rows[0].cells];
    const value = (row, column) => row.cells[column].dataset.v ?? "";
    const status = byId("listed");

    function sortBy(column, descending) {
      const compare = (a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        if (!x || !y) return Number(!x) - Number(!y); // rows without a value come last in both directions
        const [p, q] = [Number(x), Number(y)];
        const order = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y, undefined, { numeric: true }) : p - q;
        return descending ? -order : order;
      };
      body.append(...[...rows].sort(compare));
      headings.forEach((cell, i) => (i === column ? cell.setAttribute("aria-sort", descending ? "descending" : "ascending") : cell.removeAttribute("aria-sort")));
    }
    headings.forEach((cell, column) => {
      cell.querySelector("button")?.addEventListener("click", () => sortBy(column, cell.getAttribute("aria-sort") === "ascending"));
    });

    const filter = byId("filter");
    // Search names, states, verdicts and answers; in columns of numbers only words, since digits are everywhere.
    const said = (cell) => (cell.matches("td.right") ? (cell.textContent.match(/[a-z]{3,}/gi) ?? []).join(" ") : cell.textContent);
    const told = new Map(rows.map((row) => [row, [...row.cells].map(said).join(" ").toLowerCase()]));
    function list() {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !words.every((word) => told.get(row).includes(word));
      const count = rows.filter((row) => !row.hidden).length;
      byId("draw-listed").disabled = !count;
      status.textContent = count === rows.length ? `${count} rows` : `${count} of ${rows.length} rows`;
    }
    filter.value = "";
    filter.addEventListener("input", list);
    list();

    const boxes = rows.map((row) => row.querySelector("input[type=checkbox]"));
    function pick(groups) {
      slots.clear();
      groups.forEach((group, slot) => slots.set(group, slot));
      boxes.forEach((box, i) => { box.checked = slots.has(Number(rows[i].dataset.group)); });
      drawOverlay();
    }
    rows.forEach((row, i) => boxes[i].addEventListener("change", () => {
      const group = Number(row.dataset.group);
      if (!boxes[i].checked) slots.delete(group);
      else {
        const taken = new Set(slots.values());
        let slot = 0;
        while (taken.has(slot)) slot += 1;
        slots.set(group, slot);
      }
      drawOverlay();
    }));
    byId("draw-listed").addEventListener("click", () => pick([...body.rows].filter((row) => !row.hidden).map((row) => Number(row.dataset.group)).slice(0, 28)));
    byId("draw-picked").addEventListener("click", () => pick(data.picked));
    pick(data.picked);
  }

  // ---- code ------------------------------------------------------------------------------------------------------
  for (const button of all(".code button")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch { // not allowed here: select it for copying by hand
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
})();
