// ---- runs of groups that the page shows no details of until they are chosen --------------------------------------------
async function showDetails() {
  const place = byId("more-details");
  if (!place) return;
  const chosen = page().groups.filter((group) => (isDrawn(group) || pins.includes(group)) && !document.querySelector(`#details [data-details="${group}"]:not(#more-details *)`));
  if (chosen.length) await load("details");
  const there = new Map([...place.children].map((one) => [one.dataset.details, one]));
  place.replaceChildren(...chosen.filter((group) => data.has(`details:${group}`)).map((group) => {
    const { label, html } = data.get(`details:${group}`), one = there.get(group) ?? make("details", { "data-details": group }, make("summary"), make("div"));
    one.querySelector("summary").replaceChildren(make("strong", {}, label));
    if (one.html !== html) { one.html = html; one.querySelector("div").innerHTML = html; }
    return one;
  }));
}

// Open the details of a group and go there.
async function showRuns(group) {
  await showDetails();
  const found = document.querySelector(`[data-details="${group}"]`);
  if (!found) return;
  for (let one = found; one; one = one.parentElement.closest("details")) one.open = true;
  found.scrollIntoView({ block: "start" });
  found.querySelector("summary").focus({ preventScroll: true });
}
