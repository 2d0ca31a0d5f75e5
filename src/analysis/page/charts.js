// Line pictures with bands, and the picture of intervals; drawn as SVG, read by pointer or arrow keys.

const WIDE = 400;
const HIGH = 250;
const EDGE = { left: 48, right: 18, top: 8, bottom: 34 };

function ticks(low, high, wanted = 5) {
  const rough = (high - low) / wanted || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((size) => size >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) found.push(i * step);
  return found;
}

const present = (values) => values.filter((value) => value !== null && value !== undefined);

function extent(lists) {
  let low = Infinity;
  let high = -Infinity;
  for (const values of lists) {
    for (const value of present(values)) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return [0, 1];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

function path(x, y, across, up) {
  let text = "";
  let pen = "M";
  for (let i = 0; i < x.length; i += 1) {
    if (y[i] === null) {
      pen = "M";
    } else {
      text += `${pen}${across(x[i]).toFixed(1)} ${up(y[i]).toFixed(1)}`;
      pen = "L";
    }
  }
  return text;
}

function area(line, across, up) {
  const there = line.x.map((_, i) => i).filter((i) => line.low[i] !== null && line.high[i] !== null);
  if (there.length < 2) return "";
  const corner = (values) => (i) => `${across(line.x[i]).toFixed(1)} ${up(values[i]).toFixed(1)}`;
  return `M${there.map(corner(line.high)).join("L")}L${there.reverse().map(corner(line.low)).join("L")}Z`;
}

// The parts of a line that all seeds have reached, and those of fewer, which are thin.
function strokes(line, across, up) {
  const most = line.counts ? Math.max(...line.counts) : 0;
  const whole = (i) => !line.counts || line.counts[i] === most;
  const masked = (keep) => line.y.map((value, i) => (keep(i) ? value : null));
  const parts = [["line", masked(whole)]];
  if (line.counts && line.counts.some((count) => count < most)) {
    const edge = (i) => !whole(i) || (i > 0 && !whole(i - 1)) || (i + 1 < line.y.length && !whole(i + 1));
    parts.push(["line thin", masked(edge)]);
  }
  return parts.map(([kind, values]) => svg("path", { class: `${style(line.group)} ${kind}`, d: path(line.x, values, across, up) }));
}

function frame(drawing, xs, ys, across, up, labels) {
  for (const value of ticks(...ys)) {
    drawing.append(svg("line", { class: "grid", x1: EDGE.left, x2: WIDE - EDGE.right, y1: up(value), y2: up(value) }));
    drawing.append(svg("text", { x: EDGE.left - 6, y: up(value) + 4, "text-anchor": "end" }, number(value)));
  }
  for (const value of ticks(...xs)) {
    drawing.append(svg("text", { x: across(value), y: HIGH - EDGE.bottom + 15, "text-anchor": "middle" }, labels.tick(value)));
  }
  drawing.append(svg("text", { x: (WIDE + EDGE.left) / 2, y: HIGH - 3, "text-anchor": "middle" }, labels.x));
}

// lines: [{group, x, y, low, high, counts?, seeds?}]; labels: {title, note, x, tick}
function chart(lines, labels, range = null) {
  const xs = extent(lines.map((line) => line.x));
  const ys = range ?? extent(lines.flatMap((line) => [line.y, line.low, line.high, ...(line.seeds ?? [])]));
  const across = (x) => EDGE.left + ((x - xs[0]) / (xs[1] - xs[0])) * (WIDE - EDGE.left - EDGE.right);
  const up = (y) => HIGH - EDGE.bottom - ((y - ys[0]) / (ys[1] - ys[0])) * (HIGH - EDGE.top - EDGE.bottom);
  const drawing = svg("svg", {
    class: "chart", viewBox: `0 0 ${WIDE} ${HIGH}`, tabindex: 0, role: "img",
    "aria-label": `${labels.title}: ${plural(lines.length, "line")}; arrow keys read values`,
  });
  frame(drawing, xs, ys, across, up, labels);
  for (const line of lines) drawing.append(svg("path", { class: `${style(line.group)} band`, d: area(line, across, up) }));
  for (const line of lines) {
    for (const seed of line.seeds ?? []) {
      drawing.append(svg("path", { class: `${style(line.group)} seed`, d: path(line.x, seed, across, up) }));
    }
  }
  for (const line of lines) drawing.append(...strokes(line, across, up));
  const note = labels.note ? el("small", {}, labels.note) : null;
  const figure = el("figure", {}, el("figcaption", {}, labels.title, note), drawing);
  readable(figure, drawing, lines, labels, across, xs);
  return figure;
}

function nearest(values, wanted) {
  let best = 0;
  values.forEach((value, i) => { if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = i; });
  return best;
}

// A cursor that tells the values below it.
function readable(figure, drawing, lines, labels, across, xs) {
  const cursor = svg("line", { class: "cursor", y1: EDGE.top, y2: HIGH - EDGE.bottom, visibility: "hidden" });
  const tip = el("div", { class: "tip", hidden: true, role: "status" });
  drawing.append(cursor);
  figure.append(tip);
  let at = null;
  const show = (x) => {
    at = Math.min(xs[1], Math.max(xs[0], x));
    cursor.setAttribute("x1", across(at));
    cursor.setAttribute("x2", across(at));
    cursor.setAttribute("visibility", "visible");
    const rows = lines.map((line) => [line, nearest(line.x, at)]).filter(([line, i]) => line.y[i] !== null);
    rows.sort(([a, i], [b, j]) => b.y[j] - a.y[i]);
    tip.replaceChildren(el("div", {}, `${labels.tick(at)} ${labels.x}`), ...rows.slice(0, 12).map(([line, i]) =>
      el("div", {}, swatch(line.group), `${line.group}: ${number(line.y[i])} ${interval(line.low[i], line.high[i])}`)));
    tip.hidden = false;
    const place = across(at) / WIDE;
    tip.style.top = `${drawing.offsetTop ?? 0}px`;
    tip.style.left = place < 0.5 ? `${100 * place + 4}%` : "";
    tip.style.right = place < 0.5 ? "" : `${104 - 100 * place}%`;
  };
  const hide = () => { tip.hidden = true; cursor.setAttribute("visibility", "hidden"); at = null; };
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDE;
    show(xs[0] + ((x - EDGE.left) / (WIDE - EDGE.left - EDGE.right)) * (xs[1] - xs[0]));
  });
  drawing.addEventListener("pointerleave", hide);
  drawing.addEventListener("blur", hide);
  drawing.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") hide();
    if (!way) return;
    event.preventDefault();
    show(at === null ? xs[way < 0 ? 1 : 0] : at + (way * (xs[1] - xs[0])) / 40);
  });
}

// rows: [[group, center, low, high]], best first
function dots(rows, labels) {
  const left = 150;
  const step = 26;
  const height = rows.length * step + 40;
  const xs = extent(rows.map((row) => row.slice(1)));
  const spare = 0.05 * (xs[1] - xs[0]);
  const across = (x) => left + ((x - xs[0] + spare) / (xs[1] - xs[0] + 2 * spare)) * (WIDE - left - 20);
  const drawing = svg("svg", { class: "chart", viewBox: `0 0 ${WIDE} ${height}`, role: "img", "aria-label": labels.title });
  for (const value of ticks(...xs)) {
    drawing.append(svg("line", { class: "grid", x1: across(value), x2: across(value), y1: 4, y2: height - 34 }));
    drawing.append(svg("text", { x: across(value), y: height - 20, "text-anchor": "middle" }, number(value)));
  }
  drawing.append(svg("text", { x: (left + WIDE) / 2, y: height - 4, "text-anchor": "middle" }, labels.x));
  rows.forEach(([group, center, low, high], i) => {
    const y = i * step + 18;
    const name = group.length > 24 ? `${group.slice(0, 23)}…` : group;
    drawing.append(svg("text", { class: "name", x: left - 8, y: y + 4, "text-anchor": "end" }, name, svg("title", {}, group)));
    if (low !== null) drawing.append(svg("line", { class: style(group).split(" ")[0], x1: across(low), x2: across(high), y1: y, y2: y, "stroke-width": 6, opacity: 0.35 }));
    drawing.append(svg("circle", { class: style(group).split(" ")[0], cx: across(center), cy: y, r: 5 },
      svg("title", {}, `${group}: ${number(center)} ${interval(low, high)}`)));
  });
  return el("figure", {}, el("figcaption", {}, labels.title, labels.note ? el("small", {}, labels.note) : null), drawing);
}
