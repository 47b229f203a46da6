// ---- a panel for each group --------------------------------------------------------------------------------------------
const PANELS = 24; // shown at first, and added at a time
let panelsShown = PANELS;

function fillPanels() {
  const list = byId("panels"), more = byId("more-panels");
  if (!list) return;
  const wanted = page().groups.slice(0, printing() ? Math.max(panelsShown, PANELS) : panelsShown);
  const there = new Map([...list.children].map((card) => [card.dataset.group, card]));
  list.replaceChildren(...wanted.map((group) => panel(group, there.get(group))));
  const left = page().groups.length - wanted.length;
  more.hidden = left <= 0;
  more.textContent = left > 2 * PANELS ? `Show ${PANELS} more of the other ${left} panels` : `Show the other ${left} panels`;
  watch();
}

function panel(group, card, tag = "li") {
  const { words, problem } = row(group) ?? {}, label = shortOf(group);
  enter(row(group)?.section);
  if (!card || !card.querySelector(".both") !== !!problem) {
    card = make(tag, { class: "card", "data-group": group }, make("h3"), make("p", { class: problem ? "bad" : "readout" }));
    if (!problem) {
      card.append(make("div", { class: "both", role: "img", tabindex: "0" },
        make("div", { class: "chart losses", "data-chart": "panel" }), make("div", { class: "chart rates" })));
    }
  }
  card.querySelector("h3").textContent = label;
  const line = card.querySelector("p");
  if (line.dataset.words !== (problem || words)) { line.dataset.words = problem || words; line.textContent = problem || words; }
  card.querySelector(".both")?.setAttribute("aria-label", `Chart of ${label}: ${page().words[view.measure]} and learning rate. Arrow keys show its values.`);
  return card;
}

function panelRange(id) {
  if (!ranges.has(id)) ranges.set(id, limits(section(id)?.groups ?? [], ["train", "val"], section(id)?.limits?.both));
  return ranges.get(id);
}

drawers.panel = (losses) => {
  const card = losses.closest(".card"), id = card.dataset.group, group = curves(id), line = card.querySelector(".readout");
  const rates = card.querySelector(".rates"), both = card.querySelector(".both"), axis = page().axis;
  const series = [{}], xs = [], columns = [], bands = [], places = {}, rated = group.rate.x.length > 0;
  both.classList.toggle("alone", !rated);
  for (const [split, colour, dash] of [["train", css("--c1"), [5, 3]], ["val", css("--c0"), []]]) {
    const c = curve(id, split);
    const add = (one, y) => { series.push(one); xs.push(c.x); columns.push({ x: c.x, y }); };
    if (c.low) {
      bands.push(band(series.length, colour));
      add(edge(), c.high);
      add(edge(), c.low);
    }
    places[split] = series.length;
    add(middle(colour, dash, c.x.length === 1), c.median);
  }
  const table = aligned(xs, columns), range = panelRange(row(id)?.section);
  const last = Math.max(...table[0].slice(-1), ...group.rate.x.slice(-1), 1);
  const x = { time: false, distr: view.logx ? 3 : 1, range: across([Math.min(table[0][0] ?? 0, group.rate.x[0] ?? Infinity), last]) };
  const sync = { key: "panels", scales: ["x", null], setSeries: false };
  const beyond = columns.flatMap((c) => c.y).filter((v) => v != null && v > range[1]);
  const off = beyond.length ? `; off the scale: up to ${text(beyond.reduce((a, b) => Math.max(a, b)))}` : "";
  const tell = (at) => {
    enter(row(id)?.section);
    if (at == null) { line.textContent = line.dataset.words + off; return; }
    const epoch = table[0][at], before = group.rate.x.findLastIndex((e) => e <= epoch);
    const rate = rated ? `, learning rate ${rateText(group.rate.y[Math.max(before, 0)] ?? 0, 2)}` : "";
    line.textContent = `${axis} ${epoch}: validation ${text(table[places.val][at])}, training ${text(table[places.train][at])}${rate}`;
  };
  tell(null);
  const bottom = { ...whole(), label: axis, labelSize: 16, labelFont: FONT, size: 26 };
  const upper = plot(losses, {
    height: 170, printed: 190,
    uplot: {
      scales: { x, y: { distr: logy() ? 3 : 1, range } },
      axes: axes({ x: rated ? { values: (u, s) => s.map(() => ""), size: 6 } : bottom, y: { ...scale(), values: (u, s) => s.map(tick), size: 50 } }),
      series, bands, padding: [8, 8, 0, 0], cursor: { y: false, drag: { x: false, y: false }, points: { show: false }, sync },
      hooks: { setCursor: [(u) => tell(u.cursor.left < 0 ? null : u.cursor.idx)] },
    },
  }, table);
  readable(both, upper, table[0], tell);
  rates.hidden = !rated;
  if (!rated) return;
  const top = group.rate.y.reduce((a, b) => Math.max(a, b ?? 0), 0) || 1, ink = css("--soft");
  plot(rates, {
    height: 92, printed: 190,
    uplot: {
      scales: { x, y: { range: [0, top * 1.2] } },
      axes: axes({ x: bottom, y: { splits: () => [0, top], values: (u, s) => s.map((v) => rateText(v, 2)), size: 50 } }),
      padding: [8, 8, 0, 0],
      series: [{}, { stroke: ink, width: 1.3, fill: `${ink}1f`, points: { show: group.rate.x.length === 1 } }],
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false }, sync },
    },
  }, [group.rate.x, group.rate.y]);
};
