// ---- curves over epochs or steps, drawn by uPlot -----------------------------------------------------------------------
const FONT = '12px system-ui, -apple-system, "Segoe UI", sans-serif';
const metric = () => page().metrics[view.measure] ?? {};
const percents = () => metric().form === "percent";
const above = new Map(); // measure → whether all its values are above 0
const ranges = new Map(); // section → limits of the axis that its panels share
function positive(measure) {
  if (measure === "loss") return sections().every((id) => !(section(id).limits?.both?.[0] <= 0));
  if (!above.has(measure)) above.set(measure, page().groups.every((id) => ["train", "val"].every((split) => (curves(id)[`${split}_${measure}`]?.median ?? []).every((v) => v == null || v > 0))));
  return above.get(measure);
}
const loggable = () => percents() || positive(view.measure); // a log axis can't show values of 0 or less
const logy = () => view.logy && loggable();
const errors = () => percents() && metric().better === "higher" && logy(); // on a log axis, good values differ more as errors

const text = (v) => (v == null ? "–" : percents() ? percent(v) : number(v));
const tick = (v) => (v == null ? "" : percents() ? `${Number((100 * v).toPrecision(3))} %` : number(v));
const drawable = (v) => (v == null || (logy() && v <= 0) ? null : v);
const measureName = () => (errors() ? `error, 1 − ${page().words[view.measure]}` : page().words[view.measure]);

function curve(id, split) {
  const { x, median, low, high } = curves(id)[`${split}_${view.measure}`] ?? { x: [], median: [] };
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
  if (view.measure === "loss" && losses) {
    const [low, high] = losses;
    return logy() ? [low, high] : [Math.min(low, 0), high];
  }
  let low = Infinity, high = -Infinity;
  for (const id of groups) for (const split of splits) for (const v of curve(id, split).median) if (v != null) { low = Math.min(low, v); high = Math.max(high, v); }
  if (low > high) return logy() ? [0.01, 1] : [0, 1];
  if (!percents()) return logy() ? [low / 1.25, high * 1.4] : [low - 0.06 * (high - low || 1), high + 0.06 * (high - low || 1)];
  return logy() ? [low / 1.3, Math.min(1, high * 1.3)] : [Math.max(0, low - 0.03), Math.min(1, high + 0.03)];
}

const scale = () => (logy() ? { splits: (u, axis, min, max) => logTicks(min, max), filter: (u, splits) => splits } : {});
const whole = () => ({ incrs: [1, 2, 5].flatMap((m) => [...Array(13).keys()].map((e) => m * 10 ** e)).sort((a, b) => a - b) });
const across = (xs, last = xs.at(-1) ?? 1) => {
  const first = Math.min(xs[0] ?? 0, last), room = 0.012 * (last - first || 1);
  return view.logx ? [Math.max(first, 1e-9) / 1.05, Math.max(last, first * 2) * 1.05] : last > first ? [first - room, last + room] : [0, last * 1.2 || 1];
};

function axes(side) {
  const common = { stroke: css("--soft"), font: FONT, grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1, size: 4 }, gap: 4 };
  return [{ ...common, size: 30, ...side.x }, { ...common, size: 56, ...side.y }];
}

const middle = (colour, dash, single) => ({ stroke: colour, dash, width: 1.7, spanGaps: true, points: { show: single, size: 6, fill: colour } });
const edge = () => ({ stroke: "transparent", width: 0, spanGaps: true, points: { show: false } });
const band = (from, colour) => ({ series: [from, from + 1], fill: `${colour}26` });

function plot(element, options, columns) {
  plots.get(element)?.destroy();
  const nothing = !columns[0]?.length; // no axis is invented
  element.classList.toggle("nothing", nothing);
  if (nothing) options.uplot = { ...options.uplot, axes: options.uplot.axes.map((one) => ({ ...one, show: false })) };
  const width = (printing() ? options.printed : element.clientWidth) - (options.beside ?? 0);
  const made = new uPlot({ width: Math.max(width, 80), height: element.clientHeight || options.height, legend: { show: false }, ...options.uplot }, columns, element);
  plots.set(element, made);
  return made;
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
