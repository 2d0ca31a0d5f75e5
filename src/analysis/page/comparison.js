// Algorithms over all tasks of an environment; notes; what is exported.

function comparisonTab() {
  const found = chosenChapters();
  if (!found.length) return [nothing()];
  const parts = [el("div", { class: "bar" }, metricChoice(), environmentChoice())];
  parts.push(el("p", { class: "faint" }, `Of algorithms that have been on all tasks of an environment. Intervals: 95%, stratified bootstrap over the seeds of every task. ${data.counted}`));
  for (const chapter of found) {
    parts.push(el("h2", {}, chapter.environment), ...(chapter.suite ? compared(chapter.suite) : [el("p", {}, "Fewer than two algorithms.")]));
  }
  return parts;
}

function compared(suite) {
  const scale = suite.normalised ? "normalised: 0 is the least, 1 the greatest value of the task" : "as measured";
  const left = suite.left_out.length ? el("p", { class: "faint" }, `Not in it, since they are not complete: ${suite.left_out.join("; ")}.`) : null;
  const ranked = Object.entries(suite.aggregates).map(([group, band]) => [group, ...band.map((values) => values[0])]).sort((a, b) => b[1] - a[1]);
  const drawn = suite.groups.filter((group) => !hidden.has(group));
  const bands = (of, x) => drawn.map((group) => ({ group, x, y: of[group][0], low: of[group][1], high: of[group][2] }));
  const percent = (value) => `${Math.round(100 * value)}%`;
  return [
    el("p", {}, `${plural(suite.tasks.length, "task")}: ${suite.tasks.join(", ")}.`), left,
    legend(suite.groups),
    el("div", { class: "panels" },
      dots(ranked, { title: "Final value over all tasks", note: `interquartile mean, ${scale}`, x: "interquartile mean" }),
      chart(bands(suite.efficiency, suite.x), {
        title: "Sample efficiency", note: `interquartile mean over all tasks, ${scale}`,
        x: suite.in_steps ? "steps" : "of the task's steps", tick: suite.in_steps ? number : percent,
      }),
      chart(bands(suite.profiles, suite.taus), {
        title: "Performance profile", note: "share of runs above a value", x: suite.normalised ? "normalised value" : "value", tick: number,
      }, [0, 1])),
    el("h3", {}, "Probability of improvement"),
    el("p", { class: "faint" }, "How probable it is that a run of the row's algorithm does better than one of the column's on the same task; marked where the interval leaves 0.5 out."),
    el("div", { class: "scroll" }, improvements(suite))];
}

function improvements(suite) {
  const at = new Map(suite.improvements.map(([x, y, ...band]) => [JSON.stringify([x, y]), band]));
  const groups = suite.groups.filter((group) => suite.improvements.some(([x]) => x === group));
  const one = (x, y) => {
    const band = at.get(JSON.stringify([x, y]));
    if (!band) return el("td", {}, "");
    const [center, low, high] = band;
    return el("td", {}, el("span", { class: low !== null && low > 0.5 ? "best" : high !== null && high < 0.5 ? "warned" : null }, center.toFixed(2)), el("small", {}, interval(low, high)));
  };
  return el("table", { class: "scores" },
    el("thead", {}, el("tr", {}, el("th", {}, "better than"), groups.map((group) => el("th", { scope: "col" }, group)))),
    el("tbody", {}, groups.map((x) => el("tr", {}, el("th", { scope: "row" }, swatch(x), ` ${x}`), groups.map((y) => one(x, y))))));
}

function notesTab() {
  const list = (items) => el("ul", { class: "notes" }, items.map((item) => el("li", {}, item)));
  return [
    el("h2", {}, `Damaged (${data.damaged.length})`),
    data.damaged.length ? list(data.damaged.map(([folder, fault]) => `${folder}: ${fault}`)) : el("p", {}, "Nothing: every file of every run could be read."),
    el("h2", {}, `Notes (${data.notes.length})`), data.notes.length ? list(data.notes) : el("p", {}, "None."),
    el("h2", {}, "The same numbers as files"),
    data.files.length ? list(data.files.map((name) => el("a", { href: name.split("/").map(encodeURIComponent).join("/") }, name))) : el("p", {}, "None were written.")];
}
