// Keeps the page up to date: waits for the server to tell what has changed, and sends what a person asks of a sweep.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const frame = byId("live-frame"), connection = byId("connection"), news = byId("news"), dialog = byId("ask");
  const WAIT = 25, AGAIN = [1, 2, 4, 8, 15]; // seconds: of one request; between attempts while the server is gone
  const live = connection.textContent;
  let version = frame.dataset.version, failures = 0, waiting = null, goneSince = null;
  let title = document.title, count = frame.dataset.count, closing = "";

  // ---- what has changed ------------------------------------------------------------------------------------------------
  function state(words, gone) {
    if (connection.textContent !== words) connection.textContent = words; // else a screen reader would say it again
    connection.classList.toggle("gone", gone);
  }

  const at = (time) => time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

  async function show(found) {
    version = found.version;
    const { parts, data, order } = found, now = found.live;
    if (Object.keys(parts).length || Object.keys(data).length) await window.lrbench.update({ order, parts, data });
    if (now.progress !== undefined) window.lrbench.replaceParts(order, { live: now.progress });
    if (now.title) title = `${now.title} · lrbench`;
    count = now.count ?? count;
    closing = now.closing ?? closing;
    document.title = count ? `${count} ${title}` : title;
    if (now.problem !== undefined) byId("live-problem").textContent = now.problem && `The page could not be updated: ${now.problem}`;
    if (now.news) news.textContent = now.news;
  }

  function entitle() { document.title = count ? `${count} ${title}` : title; }

  async function ask(seconds) {
    waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), (seconds + 20) * 1000);
    try {
      return await fetch(`changes?since=${encodeURIComponent(version)}&wait=${seconds}`, { cache: "no-store", signal: waiting.signal });
    } finally { clearTimeout(timer); }
  }

  const pause = (seconds) => new Promise((done) => { setTimeout(done, 1000 * seconds); });
  const visible = () => (document.hidden ? new Promise((done) => { document.addEventListener("visibilitychange", done, { once: true }); }) : null);

  async function follow() {
    for (;;) {
      await visible(); // a hidden page asks for nothing
      try {
        const answer = await ask(goneSince ? 0 : WAIT);
        if (answer.status === 403 || answer.status === 421) {
          state("Another server answers here now. Open the address that it printed.", true);
          await pause(15);
          continue;
        }
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        if (answer.status === 200) await show(await answer.json());
        failures = 0; goneSince = null;
        state(closing || live, Boolean(closing));
        if (closing) await pause(1);
      } catch (error) {
        if (document.hidden) continue;
        goneSince ??= new Date();
        state(closing || `The server has not answered since ${at(goneSince)}. What you see may be old; trying again …`, true);
        await pause(AGAIN[Math.min(failures++, AGAIN.length - 1)]);
      }
    }
  }
  document.addEventListener("visibilitychange", () => { if (document.hidden) waiting?.abort(); });

  // ---- what a person asks of a sweep ----------------------------------------------------------------------------------
  const QUESTIONS = {
    stop: (of) => [`Stop ${of.sweep} after the current runs?`, "No more runs are started. The same lrbench sweep command resumes the sweep.", "Stop after these runs"],
    "go-on": (of) => [`Go on with ${of.sweep}?`, "The sweep starts runs again, unless its command has ended.", "Go on"],
    drop: (of) => [`Drop ${of.label}?`, "A running run ends at its next safe point and counts as pruned. Its learning rate then has no mean, since the other seeds are a selection, so another learning rate may become the best.", "Drop this run"],
    keep: (of) => [`Keep ${of.label}?`, "It is trained after all. If it has ended, it resumes after the other runs, or with the next lrbench sweep command.", "Keep this run"],
    seeds: (of) => [`Add seeds to ${of.sweep}?`, "They are trained after the runs planned so far.", "Add seeds"],
  };
  let asked = null;

  document.addEventListener("click", ({ target }) => {
    const button = target.closest("#live button[data-do]");
    if (!button) return;
    const sweep = button.closest("[data-sweep]").dataset;
    asked = { do: button.dataset.do, root: Number(sweep.root), sweep: sweep.sweep, run: button.dataset.run, label: button.dataset.label };
    const [heading, words, yes] = QUESTIONS[asked.do](asked);
    byId("ask-title").textContent = heading;
    byId("ask-words").textContent = words;
    byId("ask-yes").textContent = yes;
    byId("ask-problem").textContent = "";
    byId("ask-seeds").hidden = asked.do !== "seeds";
    if (asked.do === "seeds") families(JSON.parse(sweep.families));
    dialog.showModal();
  });

  function families(names) {
    const options = names.map((name) => Object.assign(document.createElement("option"), { value: name, textContent: name }));
    byId("ask-family").replaceChildren(Object.assign(document.createElement("option"), { value: "", textContent: "every family" }), ...options);
  }

  async function send() {
    const body = { do: asked.do, root: asked.root, sweep: asked.sweep };
    if (asked.run) body.run = asked.run;
    if (asked.do === "seeds") {
      if (!byId("ask-count").reportValidity()) return;
      Object.assign(body, { count: Number(byId("ask-count").value), family: byId("ask-family").value || null, best: byId("ask-best").checked });
    }
    byId("ask-yes").disabled = true;
    try {
      const answer = await fetch("requests", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      const words = await answer.text();
      if (answer.ok) {
        dialog.close();
        news.textContent = words;
      } else byId("ask-problem").textContent = words;
    } catch {
      byId("ask-problem").textContent = "The server does not answer, so the request was not sent.";
    } finally { byId("ask-yes").disabled = false; }
  }
  byId("ask-yes").addEventListener("click", send);
  byId("ask-no").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input")) { event.preventDefault(); send(); }
  });

  entitle();
  follow();
})();
