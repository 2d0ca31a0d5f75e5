// Elements, numbers in words, and what the page remembers. Text from runs becomes text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

function number(value) {
  if (value === null || value === undefined || value === "") return "";
  const size = Math.abs(value);
  if (size >= 1e6) return trimmed((value / 1e6).toPrecision(4)) + "M";
  if (size >= 1e4) return trimmed((value / 1e3).toPrecision(4)) + "k";
  if (size >= 100) return trimmed(value.toFixed(1));
  if (size && size < 0.0005) return value.toExponential(1);
  return trimmed(value.toFixed(size < 2 ? 3 : 2));
}

const trimmed = (text) => (text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/, "") : text);
const interval = (low, high) => (low === null ? "" : `[${number(low)}, ${number(high)}]`);
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

// -- what is remembered: choices in the address, so that they can be shared and outlive a renewal ---------------------

const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

function remember(changes) {
  Object.assign(state, changes);
  for (const key of Object.keys(state)) if (state[key] === "" || state[key] === null) delete state[key];
  history.replaceState(null, "", `#${new URLSearchParams(state)}`);
}

function stored(storage, key, value) {
  try {
    if (value === undefined) return storage.getItem(key);
    storage.setItem(key, value);
  } catch {
    // a browser that keeps nothing for files: the choice lasts as long as the page
  }
  return null;
}

// -- controls ---------------------------------------------------------------------------------------------------------

function choice(name, key, options, changed, everything = null) {
  const select = el("select", {
    onchange: () => { remember({ [key]: select.value }); changed(); },
  });
  const all = everything === null ? [] : [["", everything]];
  for (const [value, shown] of [...all, ...options]) select.append(el("option", { value }, shown));
  select.value = state[key] ?? "";
  if (select.selectedIndex < 0) select.selectedIndex = 0;
  select.dataset.key = key;
  return el("label", {}, name, select);
}

function check(name, key, changed) {
  const box = el("input", {
    type: "checkbox", onchange: () => { remember({ [key]: box.checked ? "1" : "" }); changed(); },
  });
  box.checked = state[key] === "1";
  box.dataset.key = key;
  return el("label", {}, box, name);
}

// -- colours: one for each algorithm, the same in every picture ------------------------------------------------------

const COLOURS = 7;
const styles = new Map();

function style(group) {
  if (!styles.has(group)) styles.set(group, styles.size);
  const place = styles.get(group);
  const dash = Math.floor(place / COLOURS) % 4;
  return `c${place % COLOURS}${dash ? ` d${dash}` : ""}`;
}

const swatch = (group) => svg("svg", { class: "swatch", viewBox: "0 0 24 8", "aria-hidden": "true" },
  svg("line", { x1: 0, x2: 24, y1: 4, y2: 4, class: style(group), "stroke-width": 3 }));
