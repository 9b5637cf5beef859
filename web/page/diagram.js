// Draws the worked example as boxes and lines.

import { byId, number, svg } from "./dom.js";

const CELL = 46;
const ROW = 62;
const LABEL = 74;

let cells = {};
let example = null;
let operation = "forward";

/** Draws a box with a number. */
function cell(parent, x, y, kind, text, index) {
  const group = svg(parent, "g", { class: "cell " + kind, transform: `translate(${x} ${y})` });
  svg(group, "rect", { x: 2, y: 2, width: CELL - 4, height: CELL - 8, rx: 5 });
  svg(group, "text", { x: CELL / 2, y: CELL / 2 - 2 }, text);
  if (index !== undefined) svg(group, "text", { x: CELL / 2, y: CELL + 4, class: "index" }, index);
  return group;
}

/**
 * Draws rows of the kernel, of the padded input and of the output, each output under the middle of its inputs. `shown` is an example
 * with its settings; a click on a result calls `chosen` with its index.
 */
export function draw(shown, wanted, chosen) {
  [example, operation] = [shown, wanted];
  const choose = (box, index) => {
    box.classList.add("click");
    box.addEventListener("click", () => chosen(index));
  };
  const { settings } = example;
  const picture = byId("steps-diagram");
  picture.replaceChildren();
  const { input: [channels, length], weight: [, perRow, kernel], output: [outputs, positions], padded } = example;
  const { stride, dilation } = settings;
  const first = padded[0].position;
  const left = (position) => LABEL + (position - first) * CELL;
  const middle = ((kernel - 1) * dilation) / 2;
  // Causal outputs stand under the sample that they belong to, others under the middle of their inputs.
  const centre = (i) => left(["causal", "anti-causal"].includes(settings.padding) ? i * stride : first + i * stride + middle);
  const gradients = operation !== "forward";
  // Taps are drawn beside the values that they multiply.
  const tapRow = (here) => (here ? ROW * 0.7 : 0);
  const repeats = Math.max(...meetings(example.terms));

  cells = { padded: new Map(), weights: [], outputs: [], taps: new Map(), lines: svg(picture, "g"), x: new Map() };
  let y = 10;
  const weights = settings.weight.flat();
  const factors = operation !== "biasGradient";
  const group = (o) => Math.floor(o / (outputs / settings.groups));
  for (let o = 0; factors && o < outputs; o++) {
    svg(picture, "text", { x: 4, y: y + CELL / 2, class: "name" }, `${operation === "weightGradient" ? "dw" : "w"}[${o}]`);
    for (let r = 0; r < perRow * kernel; r++) {
      const index = o * perRow * kernel + r;
      const x = LABEL + (r + Math.floor(r / kernel) * 0.5) * CELL;
      const box = cell(picture, x, y, "", operation === "weightGradient" ? "" : number(weights[index]), perRow > 1 && r % kernel === 0 ? `x[${group(o) * perRow + r / kernel}]` : undefined);
      cells.weights.push(box);
      if (operation === "weightGradient") choose(box, index);
    }
    y += ROW;
  }
  y += 10;
  for (let c = 0; factors && c < channels; c++) {
    svg(picture, "text", { x: 4, y: y + CELL / 2, class: "name" }, `${operation === "inputGradient" ? "dx" : "x"}[${c}]`);
    for (const { position, sample, constant } of padded) {
      const inside = position >= 0 && position < length;
      const index = sample === undefined ? undefined : c * length + sample;
      const text = operation === "inputGradient" ? "" : number(index === undefined ? constant : settings.input[c][sample]);
      const box = cell(picture, left(position), y, inside ? "" : "padding", text, number(position));
      cells.padded.set(`${c},${position}`, box);
      if (inside) cells.x.set(index, box);
      if (inside && operation === "inputGradient") choose(box, index);
    }
    y += ROW + tapRow(operation === "forward");
  }
  y += 10;
  for (let o = 0; o < outputs; o++) {
    y += tapRow(operation === "inputGradient") * repeats;
    svg(picture, "text", { x: 4, y: y + CELL / 2, class: "name" }, `${gradients ? "dy" : "y"}[${o}]`);
    for (let i = 0; i < positions; i++) {
      const index = o * positions + i;
      const box = cell(picture, centre(i), y, "", gradients ? number(example.outputGradient[index]) : "", i);
      cells.outputs.push(box);
      if (operation === "forward") choose(box, index);
    }
    y += ROW;
  }
  if (operation === "biasGradient") {
    svg(picture, "text", { x: 4, y: y + CELL / 2, class: "name" }, "db");
    cells.bias = Array.from({ length: outputs }, (_, o) => {
      const box = cell(picture, LABEL + o * CELL, y, "", "", o);
      choose(box, o);
      return box;
    });
    y += ROW;
  }
  const reach = Math.max(left(padded.at(-1).position), centre(positions - 1), LABEL + (perRow * (kernel + 0.5) - 1.5) * CELL) + CELL + 4;
  Object.assign(picture.style, { width: `${reach}px`, height: `${y}px` });
  picture.setAttribute("viewBox", `0 0 ${reach} ${y}`);
  picture.setAttribute("preserveAspectRatio", "xMinYMin");
}

const place = (box) => box.getAttribute("transform").match(/-?[\d.]+/g).map(Number);
const middleOf = (box) => { const [x, y] = place(box); return [x + CELL / 2, y + CELL / 2]; };

/** Marks the values of one step. `parts` are the terms of its sum, `values` are all results. */
export function highlight(parts, values, step) {
  const picture = byId("steps-diagram");
  for (const box of picture.querySelectorAll(".first, .second, .sum, .done")) box.classList.remove("first", "second", "sum", "done");
  cells.lines.replaceChildren();
  const results = { forward: cells.outputs, inputGradient: cells.x, weightGradient: cells.weights, biasGradient: cells.bias }[operation];
  const result = (index) => (results instanceof Map ? results.get(index) : results[index]);
  for (let index = 0; index < values.length; index++) {
    const box = result(index);
    box.querySelector("text").textContent = index <= step ? number(values[index]) : "";
    if (index < step) box.classList.add("done");
  }
  result(step).classList.add("sum");
  follow(result(step));
  const line = (a, b) => {
    const [[x1, y1], [x2, y2]] = [middleOf(a), middleOf(b)];
    svg(cells.lines, "line", { x1, y1, x2, y2 });
  };
  if (operation === "inputGradient") tapsAbove(parts);
  for (const { term } of parts) {
    const output = cells.outputs[term.output];
    if (operation === "biasGradient") {
      output.classList.add("second");
      line(output, result(step));
      continue;
    }
    const sample = cells.padded.get(`${term.channel},${term.position}`);
    const weight = cells.weights[term.weight];
    if (operation === "forward") {
      sample.classList.add("first");
      weight.classList.add("second");
      slidingTap(term, sample);
      line(sample, output);
    } else if (operation === "inputGradient") {
      output.classList.add("first");
      weight.classList.add("second");
      sample.classList.add("sum");
      line(sample, output);
    } else {
      sample.classList.add("first");
      output.classList.add("second");
      line(sample, output);
    }
  }
}

/** Scrolls the diagram, and nothing else, until a box is visible. */
function follow(box) {
  const around = byId("steps-scroll");
  const [outer, inner] = [around.getBoundingClientRect(), box.getBoundingClientRect()];
  const by = (before, after) => (before < 0 ? before : Math.max(after, 0));
  around.scrollBy({
    left: by(inner.left - outer.left - CELL, inner.right - outer.right + CELL),
    top: by(inner.top - outer.top - CELL, inner.bottom - outer.bottom + CELL),
  });
}

/** Draws a weight below the sample that it multiplies; it slides from step to step. */
function slidingTap(term, box) {
  const [, perRow, kernel] = example.weight;
  const key = term.weight % (perRow * kernel);
  let tap = cells.taps.get(key);
  if (!tap) {
    tap = drawTap();
    cells.taps.set(key, tap);
  }
  const [x, y] = place(box);
  tap.setAttribute("transform", `translate(${x} ${y + ROW - 8})`);
  tap.querySelector("text").textContent = number(example.settings.weight.flat()[term.weight]);
}

/** Draws weights above the output gradient that they multiply: more than one if padding repeats a sample. */
function tapsAbove(parts) {
  for (const tap of cells.taps.values()) tap.remove();
  cells.taps.clear();
  const seen = new Map();
  for (const { term } of parts) {
    const earlier = seen.get(term.output) ?? 0;
    seen.set(term.output, earlier + 1);
    const [x, y] = place(cells.outputs[term.output]);
    const tap = drawTap();
    tap.setAttribute("transform", `translate(${x} ${y - CELL + 8 - earlier * ROW * 0.6})`);
    tap.querySelector("text").textContent = number(example.settings.weight.flat()[term.weight]);
    cells.taps.set(cells.taps.size, tap);
  }
}

/** How often each sample contributes to each output: more than once if padding repeats it. */
function meetings(terms) {
  const count = new Map([["none", 1]]);
  for (const { sample, output } of terms) {
    const key = `${sample},${output}`;
    if (sample !== undefined) count.set(key, (count.get(key) ?? 0) + 1);
  }
  return count.values();
}

function drawTap() {
  const tap = svg(byId("steps-diagram"), "g", { class: "tap" });
  svg(tap, "rect", { x: 4, y: 2, width: CELL - 8, height: CELL - 14, rx: 5 });
  svg(tap, "text", { x: CELL / 2, y: CELL / 2 - 5 });
  return tap;
}
