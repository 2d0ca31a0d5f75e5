// Learning curves, a panel for each task; and the table of algorithms and tasks.

const hidden = new Set(); // algorithms that are not drawn

function chosenMetric() {
  const names = Object.keys(data.metrics);
  return names.includes(state.metric) ? state.metric : names[0];
}

const metricChoice = () => (Object.keys(data.metrics).length > 1
  ? choice("metric", "metric", Object.entries(data.metrics).map(([name, called]) => [name, called.replaceAll("_", " ")]), render) : null);

function chosenChapters() {
  const own = data.chapters.filter((chapter) => chapter.metric === chosenMetric());
  const kept = own.filter((chapter) => chapter.environment === state.env);
  return kept.length ? kept : own;
}

function environmentChoice() {
  const names = data.chapters.filter((chapter) => chapter.metric === chosenMetric()).map((chapter) => chapter.environment);
  return names.length > 1 ? choice("environment", "env", names.map((name) => [name, name]), render, "all") : null;
}

const nothing = () => el("p", {}, `No run counts yet. ${data.counted}`);
const distinctOf = (values) => [...new Set(values)];

function legend(groups) {
  return el("div", { class: "legend", role: "group", "aria-label": "algorithms that are drawn" }, groups.map((group) =>
    el("button", {
      "aria-pressed": String(!hidden.has(group)),
      onclick: () => { if (!hidden.delete(group)) hidden.add(group); render(); },
    }, swatch(group), group)));
}

function curvesTab() {
  const found = chosenChapters();
  if (!found.length) return [nothing()];
  const parts = [el("div", { class: "bar" }, metricChoice(), environmentChoice(), check("every seed", "seeds", render))];
  parts.push(el("p", { class: "faint" }, `Interquartile mean over seeds with its 95% bootstrap interval; thin where seeds have ended. ${data.counted}`));
  for (const chapter of found) {
    const tasks = distinctOf(chapter.lines.map((line) => line.task));
    if (found.length > 1) parts.push(el("h2", {}, chapter.environment));
    parts.push(legend(distinctOf(chapter.lines.map((line) => line.group))));
    parts.push(el("div", { class: "panels" }, tasks.map((task) => panel(chapter, task))));
  }
  return parts;
}

function panel(chapter, task) {
  const own = chapter.lines.filter((line) => line.task === task && !hidden.has(line.group));
  const lines = own.map((line) => ({
    group: line.group, x: line.steps, y: line.center, low: line.low, high: line.high, counts: line.counts,
    seeds: state.seeds === "1" ? line.values : [],
  }));
  const seeds = distinctOf(own.map((line) => line.seeds)).sort((a, b) => a - b);
  const note = seeds.length ? `${seeds.length > 1 ? `${seeds[0]} to ${seeds.at(-1)}` : seeds[0]} ${seeds.at(-1) === 1 ? "seed" : "seeds"}` : "";
  const called = data.metrics[chapter.metric].replaceAll("_", " ");
  return chart(lines, { title: task, note: `${called}, ${note}`, x: "steps", tick: number });
}

// -- final values -----------------------------------------------------------------------------------------------------

function scoresTab() {
  const found = chosenChapters();
  if (!found.length) return [nothing()];
  const kinds = [["", "interquartile mean [95% interval]"], ["median", "median (least, greatest)"]];
  const parts = [el("div", { class: "bar" }, metricChoice(), environmentChoice(), choice("cells", "cells", kinds, render), check("algorithms across", "turned", render))];
  parts.push(el("p", { class: "faint" }, `${found[0].final[0].toUpperCase()}${found[0].final.slice(1)} of every seed; the best of a task is bold. ${data.counted}`));
  for (const chapter of found) {
    if (found.length > 1) parts.push(el("h2", {}, chapter.environment));
    parts.push(el("div", { class: "scroll" }, table(chapter)));
    if (chapter.scores.some((score) => score.late)) parts.push(el("p", { class: "faint" }, "* others of the task were trained longer"));
  }
  return parts;
}

function cell(score, best) {
  if (!score) return el("td", {}, "");
  const median = state.cells === "median";
  const beside = median ? `(${number(Math.min(...score.values))}, ${number(Math.max(...score.values))})` : interval(score.iqm[1], score.iqm[2]);
  const shown = number(median ? score.median : score.iqm[0]) + (score.late ? "*" : "");
  const title = `seeds ${score.seeds.join(", ")}: ${score.values.map(number).join(", ")}; step ${number(score.step)}`;
  return el("td", { title }, el("span", { class: best ? "best" : null }, shown),
    el("small", {}, `${beside} ${plural(score.values.length, "seed")}, ${number(score.step)}`.trim()));
}

function table(chapter) {
  const at = new Map(chapter.scores.map((score) => [JSON.stringify([score.task, score.group]), score]));
  const value = (score) => (state.cells === "median" ? score.median : score.iqm[0]);
  const tasks = distinctOf(chapter.scores.map((score) => score.task));
  const groups = distinctOf(chapter.scores.map((score) => score.group));
  const best = new Map(tasks.map((task) => [task, Math.max(...chapter.scores.filter((score) => score.task === task).map(value))]));
  const one = (task, group) => {
    const score = at.get(JSON.stringify([task, group]));
    return cell(score, score && groups.length > 1 && number(value(score)) === number(best.get(task)));
  };
  const turned = state.turned === "1";
  const [down, across] = turned ? [tasks, groups] : [groups, tasks];
  return el("table", { class: "scores" },
    el("thead", {}, el("tr", {}, el("th", {}, turned ? "task" : "algorithm"), across.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, down.map((name) => el("tr", {}, el("th", { scope: "row" }, turned ? null : swatch(name), ` ${name}`), across.map((other) => (turned ? one(name, other) : one(other, name)))))));
}
