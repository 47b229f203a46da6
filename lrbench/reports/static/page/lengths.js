// ---- how the best learning rate moves with the length of training -------------------------------------------------------------
drawers.lengths = (element) => {
  const own = section(element.dataset.section);
  const known = (own?.families ?? []).filter((f) => f.x > 0 && (f.optimum || f.best)).sort((a, b) => a.x - b.x);
  if (known.length < 2) return;
  const of = (f) => f.optimum ?? { lr: f.points.find((p) => p.id === f.best).lr, low: null, high: null };
  const rates = known.flatMap((f) => { const { lr, low, high } = of(f); return [lr, low ?? lr, high ?? lr]; }), xs = known.map((f) => f.x);
  const made = figure(element, {
    x: { min: xs[0] / 1.25, max: xs.at(-1) * 1.25, log: true, ticks: xs.length <= 8 ? xs : null, label: own.keys[0], text: String },
    y: { min: Math.min(...rates) / 1.3, max: Math.max(...rates) * 1.3, log: true, text: (v) => rateText(v) },
  });
  const { svg, X, Y } = made;
  svg.append(mark("path", { class: "trend", d: line(known.map((f) => [X(f.x), Y(of(f).lr)])) }));
  for (const f of known) {
    const { lr, low, high } = of(f), x = X(f.x), group = mark("g", { class: "optimum", "data-family": f.id, style: `color:${colourOf(f.slot)}` });
    if (low != null) group.append(mark("path", { d: `M${x} ${Y(low)}V${Y(high)}M${x - 5} ${Y(low)}H${x + 5}M${x - 5} ${Y(high)}H${x + 5}` }));
    group.append(mark("path", { class: f.optimum ? "star" : "open-point", d: f.optimum ? STAR : markerOf(0), transform: `translate(${x} ${Y(lr)})` }),
      mark("text", { class: "halo", x: x + 12, y: Y(lr) - 6 }, rateText(lr)));
    svg.append(group);
  }
  element.replaceChildren(svg);
  const readout = readoutOf(`lengths-${element.dataset.section}`);
  const open = known.filter((f) => !f.optimum).length;
  if (readout) readout.textContent = `Stars: the minimum between the learning rates tried, with its 95 % interval.${open ? " Circles: the best of those tried, where no minimum is told." : ""}`;
  element.setAttribute("aria-label", `Chart: best learning rate by ${own.keys[0]}: ${known.map((f) => `${f.x}: ${rateText(of(f).lr)}`).join(", ")}`);
};
