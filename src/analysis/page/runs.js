// The table of runs: filtered, sorted, shown piece by piece; and the settings of those that are picked.

const PIECE = 150;
const picked = new Set(JSON.parse(stored(sessionStorage, "picked") ?? "[]")); // folders

function pick(run, on) {
  if (on) picked.add(run.path);
  else picked.delete(run.path);
  stored(sessionStorage, "picked", JSON.stringify([...picked]));
}

const pickedRuns = () => data.runs.filter((run) => picked.has(run.path));

function columns() {
  const metric = chosenMetric();
  const shown = metric ? `last ${data.metrics[metric].replaceAll("_", " ")}` : "last test";
  return [
    { key: "algorithm", name: "algorithm", get: (run) => run.algorithm },
    { key: "task", name: "task", get: (run) => run.task },
    { key: "seed", name: "seed", number: true, get: (run) => run.seed, show: (run) => run.seed },
    { key: "status", name: "status", get: (run) => run.status, show: status },
    { key: "steps", name: "steps", number: true, get: (run) => run.steps, show: progress },
    { key: "last", name: shown, number: true, get: (run) => run.last[metric] ?? null },
    { key: "speed", name: "steps/s", number: true, get: (run) => run.speed },
    { key: "label", name: "label", get: (run) => run.label },
    { key: "started", name: "started (UTC)", get: (run) => run.started, show: (run) => run.started.replace("T", " ").slice(0, 16) },
  ].filter((column) => ["algorithm", "status", "steps"].includes(column.key) || data.runs.some((run) => !empty(column.get(run))));
}

function status(run) {
  const kind = run.status === "RUNNING" ? "running" : run.status === "COMPLETED" ? "completed"
    : run.status === "FAILED" || run.status.includes("silent") ? "failed" : "other";
  const faults = run.faults.length ? el("span", { class: "warned", title: run.faults.join("\n") }, " damaged") : null;
  return el("span", { class: `status ${kind}` }, run.status, faults);
}

function progress(run) {
  const share = run.t_max && run.steps < run.t_max * 0.995 ? ` (${Math.floor((100 * run.steps) / run.t_max)}%)` : "";
  return number(run.steps) + share;
}

function links(run) {
  const found = [el("button", { onclick: () => { picked.clear(); pick(run, true); go("settings"); } }, "settings")];
  const file = (name, shown) => run.files.includes(name) && el("a", { href: `${run.href}/${name}` }, shown);
  found.push(file("config.json", "config"), file("cout.txt", "output"));
  found.push(...run.films.map(([name, href], i) => el("a", { href, title: name }, run.films.length > 1 ? `film ${i + 1}` : "film")));
  return found.filter(Boolean).flatMap((link) => [link, " "]);
}

function row(run, shown) {
  const box = el("input", { type: "checkbox", "aria-label": `pick ${run.algorithm}, ${run.task}, seed ${run.seed}` });
  const line = el("tr", {}, el("td", {}, box));
  box.checked = picked.has(run.path);
  line.classList.toggle("picked", box.checked);
  box.addEventListener("change", () => { pick(run, box.checked); line.classList.toggle("picked", box.checked); counted(); });
  for (const column of shown) {
    const content = column.show ? column.show(run) : column.number ? number(column.get(run)) : column.get(run);
    line.append(el("td", { class: column.number ? "number" : null, "data-name": column.name }, content === null ? "" : content));
  }
  line.append(el("td", { class: "links", "data-name": "links" }, ...links(run)));
  return line;
}

const text = (run) => (run.text ??= [run.algorithm, run.task, `seed=${run.seed}`, run.status, run.label, run.path].join(" ").toLowerCase());

function wanted() {
  const words = (state.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return data.runs.filter((run) => words.every((word) => text(run).includes(word))
    && ["algorithm", "task", "status"].every((key) => !state[key] || run[key] === state[key]));
}

const empty = (value) => value === null || value === undefined || value === "";
const order = new Intl.Collator("en", { numeric: true });

function sorted(runs, shown) {
  const column = shown.find((one) => one.key === state.sort);
  if (!column) return runs;
  const way = state.down ? -1 : 1;
  return runs.map((run) => [column.get(run), run]).sort(([a], [b]) => {
    if (empty(a) || empty(b)) return empty(a) - empty(b); // at the end either way
    return way * (typeof a === "number" && typeof b === "number" ? a - b : order.compare(String(a), String(b)));
  }).map(([, run]) => run);
}

const told = el("span", { id: "told", role: "status" });

function counted() {
  told.textContent = `${wanted().length.toLocaleString("en")} of ${plural(data.runs.length, "run")}, ${picked.size} picked`;
}

function runsTab() {
  const shown = columns();
  const body = el("tbody");
  const more = el("button", { class: "more", onclick: () => append() }, "Show more");
  let rest = [];
  const append = () => {
    body.append(...rest.splice(0, PIECE).map((run) => row(run, shown)));
    more.hidden = !rest.length;
  };
  const heads = shown.map((column) => {
    const turn = () => { remember({ sort: column.key, down: state.sort === column.key && !state.down ? "1" : "" }); renew(); };
    const head = el("th", { scope: "col", class: column.number ? "number" : null }, el("button", { onclick: turn }, column.name));
    head.dataset.key = column.key;
    return head;
  });
  const renew = () => {
    rest = sorted(wanted(), shown);
    body.replaceChildren();
    for (const head of heads) {
      const own = head.dataset.key === state.sort;
      head.setAttribute("aria-sort", !own ? "none" : state.down ? "descending" : "ascending");
      head.firstChild.textContent = shown.find((one) => one.key === head.dataset.key).name + (!own ? "" : state.down ? " ▼" : " ▲");
    }
    append();
    counted();
  };
  const search = el("input", { type: "search", placeholder: "words, e.g. asae seed=2", "aria-label": "filter runs" });
  search.value = state.q ?? "";
  search.addEventListener("input", () => { remember({ q: search.value }); renew(); });
  const values = (key) => [...new Set(data.runs.map((run) => run[key]))].sort(order.compare).map((value) => [value, value]);
  const none = el("button", { onclick: () => { picked.clear(); stored(sessionStorage, "picked", "[]"); renew(); } }, "pick none");
  const compare = el("button", { onclick: () => go("settings") }, "compare settings");
  const below = new IntersectionObserver((seen) => {
    if (!seen.at(-1).isIntersecting || !rest.length) return;
    append();
    below.unobserve(more); // looked at anew: who scrolls fast is still at the end
    below.observe(more);
  }, { rootMargin: "600px" });
  below.observe(more);
  const table = el("table", { class: "runs" }, el("thead", {}, el("tr", {}, el("th", { class: "plain" }, el("span", { title: "pick" }, "✓")), ...heads, el("th", { class: "plain" }, "links"))), body);
  renew();
  return [
    el("div", { class: "bar" }, search, choice("algorithm", "algorithm", values("algorithm"), renew, "all"),
      choice("task", "task", values("task"), renew, "all"), choice("status", "status", values("status"), renew, "all"), metricChoice()),
    el("div", { class: "bar" }, told, compare, none), table, more];
}

// -- settings ---------------------------------------------------------------------------------------------------------

function settingsTab() {
  const runs = pickedRuns();
  return runs.length ? ofRuns(runs) : ofAll();
}

const MOST_COLUMNS = 12;

function ofRuns(runs) {
  const shown = runs.slice(0, MOST_COLUMNS);
  const places = shown.map((run) => data.runs.indexOf(run));
  const differing = Object.keys(data.settings.differing);
  const rows = Object.entries(data.settings.same).map(([key, value]) => [key, shown.map(() => value)]);
  differing.forEach((key, k) => rows.push([key, places.map((place) => data.settings.differing[key][data.settings.of[place][k]])]));
  rows.sort(([a], [b]) => order.compare(a, b));
  const differs = (values) => new Set(values).size > 1;
  const only = state.only === "1" && shown.length > 1;
  const body = rows.filter(([, values]) => !only || differs(values)).map(([key, values]) =>
    el("tr", { class: differs(values) ? "differs" : null }, el("th", { scope: "row" }, key), ...values.map((value) => el("td", {}, value ?? "—"))));
  const films = shown.flatMap((run) => run.films.map(([name, href]) => (name.endsWith(".gif") ? el("img", { class: "film", src: href, alt: `film ${name}`, loading: "lazy" }) : el("a", { href }, name))));
  const left = runs.length > shown.length ? el("p", {}, `The first ${MOST_COLUMNS} of ${runs.length} picked runs.`) : null;
  return [
    el("div", { class: "bar" }, check("only what differs", "only", render), el("button", { onclick: () => { picked.clear(); render(); } }, "all runs"), el("button", { onclick: () => go("runs") }, "back to runs")),
    left,
    el("div", { class: "scroll" }, el("table", { class: "settings" },
      el("thead", {}, el("tr", {}, el("th", {}, "setting"), ...shown.map((run) =>
        el("th", { scope: "col" }, `${run.algorithm}`, el("br"), `${run.task}, seed ${run.seed}`, el("br"), el("a", { href: `${run.href}/config.json` }, "config.json"))))),
      el("tbody", {}, ...body))),
    ...films];
}

function ofAll() {
  const differing = Object.entries(data.settings.differing).map(([key, values], k) => {
    const counts = values.map(() => 0);
    for (const own of data.settings.of) counts[own[k]] += 1;
    const told = values.map((value, i) => `${value ?? "—"} (${counts[i]})`);
    const more = told.length > 12 ? `, and ${told.length - 12} more` : "";
    return el("tr", {}, el("th", { scope: "row" }, key), el("td", {}, told.slice(0, 12).join(", ") + more));
  });
  const same = Object.entries(data.settings.same).map(([key, value]) => el("tr", {}, el("th", { scope: "row" }, key), el("td", {}, value)));
  return [
    el("p", {}, "Settings that differ among the runs, with the number of runs that have each value. Picked runs (first tab) are shown side by side."),
    el("div", { class: "scroll" }, el("table", { class: "settings" }, el("tbody", {}, ...differing))),
    el("details", {}, el("summary", {}, `${plural(same.length, "setting")} that all runs have alike`),
      el("div", { class: "scroll" }, el("table", { class: "settings" }, el("tbody", {}, ...same))))];
}
