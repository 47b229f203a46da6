// ---- text of values --------------------------------------------------------------------------------------------------
const number = (v) => (v == null ? "–" : Math.abs(v) >= 1e4 || (v && Math.abs(v) < 1e-4) ? v.toExponential(2) : String(Number(v.toPrecision(4))));
function rateText(given, digits = 3) {
  const v = Number(given.toPrecision(digits));
  return v === 0 || (v >= 1e-3 && v < 1e4) ? String(v) : v.toExponential().replace("e+", "e");
}
const percent = (v) => (v == null ? "–" : `${(100 * v).toFixed(2)} %`);
const measureText = (measure, v) => (measure?.form === "percent" ? percent(v) : number(v));
const capital = (words) => words.slice(0, 1).toUpperCase() + words.slice(1);
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
