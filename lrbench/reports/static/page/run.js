// ---- one run: its losses, its learning rate and its gradient norm, over the same steps ---------------------------------------------
drawers.run = (element) => {
  const own = section(element.dataset.section), id = own?.groups[0], group = curves(id), axis = page().axis;
  if (!id) return;
  if (!element.querySelector(".run-losses")) {
    for (const one of ["run-losses", "run-rate", "run-norm"]) element.append(make("div", { class: `chart ${one}` }));
  }
  const [losses, rate, norm] = ["run-losses", "run-rate", "run-norm"].map((name) => element.querySelector(`.${name}`));
  const parts = [["val", css("--c0"), []], ["train", css("--c1"), [5, 3]]].map(([split, colour, dash]) => ({ split, colour, dash, c: curve(id, split) }));
  const shown = parts.filter(({ c }) => c.x.length), table = aligned(shown.map(({ c }) => c.x), shown.map(({ c }) => ({ x: c.x, y: c.median })));
  const last = Math.max(...table[0].slice(-1), ...group.rate.x.slice(-1), 1), x = { time: false, range: across([Math.min(table[0][0] ?? 0, group.rate.x[0] ?? Infinity), last]) };
  const sync = { key: `run-${id}`, scales: ["x", null], setSeries: false }, cursor = { y: false, drag: { x: false, y: false }, points: { show: false }, sync };
  const blank = { values: (u, s) => s.map(() => ""), size: 8 }, bottom = { ...whole(), label: axis, labelSize: 16, labelFont: FONT, size: 26 };
  const range = limits([id], ["train", "val"], own.limits?.both), readout = readoutOf(`run-${element.dataset.section}`);
  const told = (at) => {
    enter(element.dataset.section);
    if (!readout) return;
    if (at == null) { readout.textContent = `${capital(shown.map(({ split }) => (split === "val" ? "solid: validation" : "dashed: training")).join(", "))}. Point at the curves or use the arrow keys to read them.`; return; }
    const here = table[0][at], before = group.rate.x.findLastIndex((e) => e <= here);
    const values = shown.map(({ split }, i) => `${split === "val" ? "validation" : "training"} ${text(table[i + 1][at])}`);
    if (group.rate.x.length) values.push(`learning rate ${rateText(group.rate.y[Math.max(before, 0)] ?? 0)}`);
    readout.textContent = `${capital(axis)} ${here}: ${values.join(", ")}`;
  };
  const normed = (group.norm?.x.length ?? 0) > 1, rated = group.rate.x.length > 0;
  const upper = plot(losses, {
    height: 240, printed: 640,
    uplot: {
      scales: { x, y: { distr: logy() ? 3 : 1, range } }, padding: [10, 10, 0, 0], cursor,
      axes: axes({ x: rated || normed ? blank : bottom, y: { ...scale(), values: (u, s) => s.map(tick), label: page().words[view.measure], labelSize: 16, labelFont: FONT } }),
      series: [{}, ...shown.map(({ c, colour, dash }) => middle(colour, dash, c.x.length === 1))],
      hooks: { setCursor: [(u) => told(u.cursor.left < 0 ? null : u.cursor.idx)] },
    },
  }, table);
  readable(element, upper, table[0], told);
  told(null);
  const small = (place, { x: xs, y }, label, last) => plot(place, {
    height: 100, printed: 640,
    uplot: {
      scales: { x, y: { range: (u, low, high) => [0, (high || 1) * 1.15] } }, padding: [10, 10, 0, 0], cursor,
      axes: axes({ x: last ? bottom : blank, y: { label, labelSize: 16, labelFont: FONT, values: (u, s) => s.map((v) => rateText(v, 2)), size: 56, space: 26 } }),
      series: [{}, { stroke: css("--soft"), width: 1.3, fill: `${css("--soft")}1f`, points: { show: xs.length === 1 } }],
    },
  }, [xs, y]);
  rate.hidden = !rated;
  norm.hidden = !normed;
  if (rated) small(rate, group.rate, "learning rate", !normed);
  if (normed) small(norm, group.norm, "gradient norm", true);
};
