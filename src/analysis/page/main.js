// The frame of the page: tabs, light and dark, renewal.

const data = JSON.parse(document.getElementById("data").textContent);
const faults = data.damaged.length;
const TABS = {
  runs: ["Runs", runsTab], curves: ["Curves", curvesTab], scores: ["Scores", scoresTab],
  comparison: ["Comparison", comparisonTab], settings: ["Settings", settingsTab],
  notes: [faults ? `Notes (${faults} damaged)` : "Notes", notesTab],
};
for (const chapter of data.chapters) chapter.lines.forEach((line) => style(line.group));

const chosenTab = () => (state.tab in TABS ? state.tab : "runs");

function render() {
  const content = document.getElementById("content");
  const focused = document.activeElement?.dataset?.key;
  const pressed = document.activeElement?.closest?.(".legend") ? document.activeElement.textContent : null;
  content.setAttribute("role", "tabpanel");
  content.setAttribute("aria-labelledby", `tab-${chosenTab()}`);
  content.replaceChildren(...TABS[chosenTab()][1]().filter(Boolean));
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const own = tab.id === `tab-${chosenTab()}`;
    tab.setAttribute("aria-selected", String(own));
    tab.tabIndex = own ? 0 : -1;
  }
  if (focused) content.querySelector(`[data-key="${focused}"]`)?.focus();
  if (pressed) [...content.querySelectorAll(".legend button")].find((button) => button.textContent === pressed)?.focus();
}

function go(tab) {
  remember({ tab });
  render();
  scrollTo(0, 0);
}

function tabs() {
  const names = Object.keys(TABS);
  const list = el("div", { role: "tablist", "aria-label": "parts of the report" }, names.map((name) =>
    el("button", { role: "tab", id: `tab-${name}`, "aria-controls": "content", onclick: () => go(name) }, TABS[name][0])));
  list.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const to = event.key === "Home" ? 0 : event.key === "End" ? names.length - 1
      : way ? (names.indexOf(chosenTab()) + way + names.length) % names.length : null;
    if (to === null) return;
    event.preventDefault();
    go(names[to]);
    document.getElementById(`tab-${names[to]}`).focus();
  });
  return list;
}

function themes() {
  const set = (theme) => {
    document.documentElement.dataset.theme = theme;
    stored(localStorage, "theme", theme);
  };
  const select = el("select", { id: "theme", onchange: () => set(select.value) },
    el("option", { value: "" }, "as the system"), el("option", { value: "light" }, "light"), el("option", { value: "dark" }, "dark"));
  set(stored(localStorage, "theme") ?? "");
  select.value = document.documentElement.dataset.theme;
  return el("label", {}, "colours", select);
}

function renewal() {
  if (!data.renewed) return null;
  const again = el("input", { type: "checkbox", id: "renew" });
  again.checked = state.still !== "1";
  again.addEventListener("change", () => remember({ still: again.checked ? "" : "1" }));
  setInterval(() => {
    const busy = document.activeElement?.matches("input[type=search], select");
    if (again.checked && !busy && !document.hidden) location.reload();
  }, 1000 * data.renewed);
  return el("label", {}, again, `renew every ${number(data.renewed)} s`);
}

function summary() {
  const counts = new Map();
  for (const run of data.runs) counts.set(run.status, (counts.get(run.status) ?? 0) + 1);
  const told = [...counts].sort(([a], [b]) => order.compare(a, b)).map(([name, count]) => `${count.toLocaleString("en")} ${name}`);
  return `${plural(data.runs.length, "run")}: ${told.join(", ")}. Made ${data.made.replace("T", " ").replace("+00:00", " UTC")}.`;
}

document.getElementById("header").append(
  el("div", { class: "top" }, el("div", {}, el("h1", {}, data.title), el("p", { class: "faint" }, summary())), el("div", { class: "bar" }, renewal(), themes())),
  tabs(),
);
render();
addEventListener("hashchange", () => {
  for (const key of Object.keys(state)) delete state[key];
  Object.assign(state, Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
  render();
});
