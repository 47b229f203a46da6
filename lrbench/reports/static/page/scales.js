// ---- ticks of logarithmic axes ---------------------------------------------------------------------------------------
// 1, 3, 10, … or 1, 2, 5, …, as many as are readable.
function logTicks(min, max) {
  const decades = Math.log10(max / min), inner = decades > 2.5 ? [1] : decades > 1.3 ? [1, 3] : decades > 0.5 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  const every = Math.max(1, Math.ceil(decades / 8)), found = [];
  for (let e = Math.floor(Math.log10(min)); e <= Math.ceil(Math.log10(max)); e += 1) {
    if (e % every) continue;
    for (const m of inner) { const v = Number((m * 10 ** e).toPrecision(3)); if (v >= min && v <= max) found.push(v); }
  }
  return found;
}

// 0, 5, 10, …: at most `most` round numbers.
function evenTicks(min, max, most) {
  const raw = (max - min) / Math.max(most, 1), unit = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 5, 10].find((m) => m * unit >= raw) * unit, found = [];
  for (let v = Math.ceil(min / step) * step; v <= max + step * 1e-9; v += step) found.push(Number(v.toPrecision(12)));
  return found;
}

// 2, 3, … 9 of each decade.
function minorTicks(min, max) {
  const found = [];
  for (let e = Math.floor(Math.log10(min)); e <= Math.log10(max); e += 1) for (let m = 2; m < 10; m += 1) if (m * 10 ** e >= min && m * 10 ** e <= max) found.push(m * 10 ** e);
  return found;
}
