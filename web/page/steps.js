// The worked example: parameters in a form, the convolution as a diagram, one sum at a time.

import { referenceExample } from "./conv1d_web.js";
import { draw, highlight } from "./diagram.js";
import { byId, isLost, message, newest, number as short, tell } from "./dom.js";
import { clamp, fromLink, limits, modes, paddings, plain, presets, toLink } from "./settings.js";

const MOST_SHOWN = 24;

/** Formats with the seven digits of single precision, so that the numbers shown add up. */
const number = (value) => short(value, 7);

const labels = {
  inChannels: "Input channels", outChannels: "Output channels", groups: "Groups", length: "Length", kernelSize: "Kernel size",
  stride: "Stride", dilation: "Dilation",
};
const GIVEN = "dy is the gradient of a loss with respect to y, ones unless you change it; ";
/** The operations, in the notation of torch.nn.Conv1d. */
const operations = {
  forward: {
    name: "forward", symbol: "y", formula: "y[o,i] = b[o] + Σ w[o,c,k] · x[c, i·stride + k·dilation − left], over c and k",
    note: "As in every deep-learning framework, the kernel is not flipped: signal processing calls this cross-correlation.",
    of: (term) => term.output, product: "forward", factors: ["weight", "value"],
  },
  inputGradient: {
    name: "input gradient", symbol: "dx", formula: "dx[c,m] = Σ w[o,c,k] · dy[o,i], wherever x[c,m] took part in y[o,i]",
    note: GIVEN + "dx is the gradient with respect to x. A transposed convolution computes the same.",
    of: (term) => term.sample, product: "inputGradient", factors: ["weight", "gradient"],
  },
  weightGradient: {
    name: "weight gradient", symbol: "dw", formula: "dw[o,c,k] = Σ dy[o,i] · x[c, i·stride + k·dilation − left], over i",
    note: GIVEN + "dw is the gradient with respect to w.",
    of: (term) => term.weight, product: "weightGradient", factors: ["gradient", "value"],
  },
  biasGradient: {
    name: "bias gradient", symbol: "db", formula: "db[o] = Σ dy[o,i], over i",
    note: GIVEN + "db is the gradient with respect to the bias.",
    of: () => -1, product: null, factors: ["gradient"],
  },
};

let engine = null;
let settings = structuredClone(plain);
/** The last result, with the settings that it was computed from. */
let example = null;
let terms = [];
let step = 0;
let playing = 0;

/** Rows at their longest: values removed by a shorter length return with a longer one. */
const memory = { input: [], weight: [] };

const resized = (row, length) => Array.from({ length }, (_, i) => row?.[i] ?? 0);
const kernelSize = () => settings.weight[0].length;
const perGroup = () => Math.max(1, Math.floor(settings.inChannels / settings.groups));

/** Resizes the rows of numbers to the other parameters. */
function fit(length, kernel) {
  const kept = (name, row, index, wanted) => {
    const remembered = [...row, ...(memory[name][index] ?? []).slice(row.length)];
    memory[name][index] = remembered;
    return resized(remembered, wanted);
  };
  const { input, weight } = settings;
  settings.input = Array.from({ length: settings.inChannels }, (_, c) => kept("input", input[c] ?? memory.input[c] ?? [...input[0]].reverse(), c, length));
  settings.weight = Array.from({ length: settings.outChannels * perGroup() }, (_, r) => kept("weight", weight[r] ?? memory.weight[r] ?? weight[0], r, kernel));
  settings.bias = resized(settings.bias, settings.outChannels);
}

// ---- The form ----

function select(id, options, label, change) {
  const element = document.createElement("select");
  element.id = id;
  element.append(...Object.entries(options).map(([value, text]) => new Option(text, value)));
  element.addEventListener("change", () => change(element.value));
  return labelled(label, element);
}

function labelled(label, element) {
  const outer = message("label", label);
  outer.append(element);
  return outer;
}

function numberInput(id, label, { least, most, step: by = 1 }, change) {
  const element = document.createElement("input");
  Object.assign(element, { type: "number", id, min: least, max: most, step: by });
  // Input that is not a number is discarded.
  element.addEventListener("change", () => (Number.isFinite(element.valueAsNumber) ? change(element.value) : setTimeout(showForm)));
  return labelled(label, element);
}

function buildForm() {
  const form = byId("steps-form");
  for (const [name, most] of Object.entries(limits)) {
    form.append(numberInput("steps-" + name, labels[name], { least: 1, most }, (value) => {
      const sized = clamp(value, 1, most);
      const length = name === "length" ? sized : settings.input[0].length;
      const kernel = name === "kernelSize" ? sized : kernelSize();
      if (name in settings) settings[name] = sized;
      fit(length, kernel);
      update();
    }));
  }
  const set = (name, read) => (value) => { settings[name] = read(value); update(); };
  form.append(
    select("steps-padding", paddings, "Padding", set("padding", String)),
    numberInput("steps-left", "Left", { least: 0, most: 24 }, set("left", (v) => clamp(v, 0, 24))),
    numberInput("steps-right", "Right", { least: 0, most: 24 }, set("right", (v) => clamp(v, 0, 24))),
    select("steps-mode", modes, "Padded with", set("mode", String)),
    numberInput("steps-constant", "Constant", { least: "", most: "", step: "any" }, set("constant", (v) => Number(v) || 0)),
  );
  const values = document.createElement("div");
  values.className = "values";
  values.id = "steps-values";
  form.append(values);
  form.addEventListener("submit", (event) => event.preventDefault());
  // A number beyond its limits becomes the limit when the field loses focus.
  form.addEventListener("focusout", () => setTimeout(showForm));
}

/** Parses the numbers of a text; throws an error at anything else. */
function parse(text) {
  const parts = text.replaceAll(/[−–]/g, "-").split(/[\s;]+|,\s+/).filter(Boolean);
  const bad = parts.find((part) => !Number.isFinite(Math.fround(Number(part))));
  if (bad !== undefined) throw new Error(`“${bad.slice(0, 24)}” is not a number${bad.includes(",") ? "; write 1.5, with spaces between numbers" : ""}`);
  if (parts.length === 0) throw new Error("there must be at least one number");
  return parts.map(Number);
}

/** A text field for a row of values; `change` takes its numbers. */
function valuesInput(id, label, change) {
  const element = document.createElement("input");
  Object.assign(element, { type: "text", id, spellcheck: false });
  element.addEventListener("change", () => {
    try {
      change(parse(element.value));
      element.removeAttribute("aria-invalid");
      update();
    } catch (error) {
      element.setAttribute("aria-invalid", "true");
      tell("steps-error", new Error(`${label}: ${error.message}`));
    }
  });
  return labelled(label, element);
}

/** The text fields to show: the id, label and numbers of each, and the function that takes new numbers. */
function fields() {
  const few = (numbers, most) => {
    if (numbers.length > most) throw new Error(`at most ${most} numbers, got ${numbers.length}`);
    return numbers;
  };
  const exactly = (numbers, count) => {
    if (numbers.length !== count) throw new Error(`${count} numbers are needed, got ${numbers.length}`);
    return numbers;
  };
  const list = [
    ...settings.input.map((row, c) => [`steps-x-${c}`, `x[${c}]`, row, (numbers) => {
      settings.input[c] = few(numbers, limits.length);
      fit(numbers.length, kernelSize());
    }]),
    ...settings.weight.map((row, r) => [`steps-w-${r}`, `w[${Math.floor(r / perGroup())},${r % perGroup()}]`, row, (numbers) => {
      settings.weight[r] = few(numbers, limits.kernelSize);
      fit(settings.input[0].length, numbers.length);
    }]),
    ["steps-bias", "bias", settings.bias, (numbers) => {
      settings.bias = exactly(numbers, settings.outChannels);
    }],
  ];
  if (example && settings.operation !== "forward") {
    const [channels, length] = example.output;
    for (let o = 0; o < channels; o++) {
      list.push([`steps-dy-${o}`, `dy[${o}]`, example.outputGradient.slice(o * length, (o + 1) * length), (numbers) => {
        settings.outputGradient = [...example.outputGradient];
        exactly(numbers, length).forEach((value, i) => { settings.outputGradient[o * length + i] = value; });
      }]);
    }
  }
  return list;
}

function showForm() {
  const shown = { ...settings, length: settings.input[0].length, kernelSize: kernelSize() };
  for (const name of [...Object.keys(limits), "padding", "left", "right", "mode", "constant"]) {
    const field = byId("steps-" + name);
    if (field !== document.activeElement || field.type !== "number") field.value = shown[name];
  }
  byId("steps-left").parentElement.hidden = byId("steps-right").parentElement.hidden = settings.padding !== "explicit";
  byId("steps-mode").parentElement.hidden = settings.padding === "valid";
  byId("steps-constant").parentElement.hidden = settings.padding === "valid" || settings.mode !== "constant";
  // Existing elements are reused, so that a field keeps its text and focus during input.
  const values = byId("steps-values");
  const wanted = fields();
  const shape = wanted.map(([id, label]) => id + label).join();
  if (values.dataset.shape !== shape) {
    const focused = values.contains(document.activeElement) ? document.activeElement.id : null;
    const labels = wanted.map(([id, label, row]) => {
      const kept = byId(id)?.parentElement;
      if (kept) {
        kept.firstChild.textContent = label;
        return kept;
      }
      const made = valuesInput(id, label, (numbers) => fields().find(([other]) => other === id)[3](numbers));
      made.querySelector("input").value = row.map(String).join(" ");
      return made;
    });
    values.dataset.shape = shape;
    values.replaceChildren(...labels);
    if (focused) byId(focused)?.focus();
  }
  for (const [id, , row] of wanted) {
    const field = byId(id);
    if (field !== document.activeElement && !field.ariaInvalid) field.value = row.map(String).join(" ");
  }
}

// ---- Computing ----

const compute = newest(async (stale) => {
  const asked = structuredClone(settings);
  const { padding, left, right, mode, constant } = asked;
  const request = {
    ...asked, kernelSize: asked.weight[0].length, input: asked.input.flat(), weight: asked.weight.flat(),
    padding: padding === "explicit" ? `${left},${right}` : padding,
    paddingMode: mode === "constant" ? `constant=${constant}` : mode,
  };
  try {
    const solved = engine ? await onGpu(request) : await referenceExample(request);
    if (stale()) return;
    example = { ...solved, settings: asked };
    settings.outputGradient = [...example.outputGradient];
    // The error stays as long as a field holds rejected text.
    if (!document.querySelector("#steps-values [aria-invalid]")) tell("steps-error", null);
    reportFirst();
  } catch (error) {
    if (stale()) return;
    example = null;
    tell("steps-error", error);
  }
  showForm();
  showOperation();
});

/** Computes on the GPU; once that is lost, by the reference. */
async function onGpu(request) {
  try {
    return await engine.workedExample(request);
  } catch (error) {
    if (!isLost(error)) throw error;
    engine = null;
    byId("device").textContent = "GPU lost: reload the page to use it again";
    return referenceExample(request);
  }
}

/** Shows, once, the time from opening the page to the first result. */
function reportFirst() {
  const place = byId("started");
  if (!place.textContent) place.textContent = `First result ${Math.round(performance.now())} ms after opening this page.`;
}

function update() {
  pause();
  return compute();
}

// ---- Steps ----

const answer = () => example[settings.operation];
const gradientAt = (index) => example.outputGradient[index];

/** Formats a flat index as the indices of a tensor. */
function at(symbol, index) {
  const [, perRow, kernel] = example.weight;
  const length = symbol === "x" || symbol === "dx" ? example.input[1] : example.output[1];
  if (symbol === "db" || symbol === "b") return `${symbol}[${index}]`;
  if (symbol === "w" || symbol === "dw") {
    return `${symbol}[${Math.floor(index / (perRow * kernel))},${Math.floor(index / kernel) % perRow},${index % kernel}]`;
  }
  return `${symbol}[${Math.floor(index / length)},${index % length}]`;
}

/** The terms of the sum of one step, as pairs of factors with their product. */
function sum(index) {
  const operation = operations[settings.operation];
  if (settings.operation === "biasGradient") {
    const length = example.output[1];
    return Array.from({ length }, (_, i) => {
      const output = index * length + i;
      return { term: { output }, factors: [["dy", output, gradientAt(output)]], product: gradientAt(output) };
    });
  }
  const factor = {
    weight: (term) => ["w", term.weight, example.settings.weight.flat()[term.weight]],
    value: (term) => [term.sample === undefined ? "pad" : "x", term.sample ?? term.position, term.value],
    gradient: (term) => ["dy", term.output, gradientAt(term.output)],
  };
  return terms[index].map((term) => ({ term, factors: operation.factors.map((name) => factor[name](term)), product: term[operation.product] }));
}

function showOperation() {
  const operation = operations[settings.operation];
  const about = [operation.formula, operation.note];
  if (example && settings.operation !== "biasGradient") {
    if (example.padded[0].position < 0) about.push(`Here left = ${-example.padded[0].position}.`);
    if (example.settings.groups > 1) about.push("c counts the channels of a group; x is the input of that group.");
  }
  byId("steps-formula").replaceChildren(...about.filter(Boolean).map((text) => message("span", text)));
  byId("steps-output").hidden = !example;
  for (const input of document.querySelectorAll("#steps-operation input")) input.checked = input.value === settings.operation;
  if (!example) {
    byId("steps-diagram").replaceChildren();
    byId("steps-equation").textContent = "";
    byId("steps-count").textContent = "";
    byId("steps-code").textContent = "";
    byId("steps-results").tBodies[0].replaceChildren();
    return;
  }
  const count = answer().values.length;
  terms = Array.from({ length: count }, () => []);
  for (const term of example.terms) {
    const index = operation.of(term);
    if (index !== undefined && index >= 0) terms[index].push(term);
  }
  step = Math.min(step, count - 1);
  byId("steps-step").max = count - 1;
  byId("steps-code").textContent = example.code;
  showResults();
  draw(example, settings.operation, (index) => { pause(); step = index; showStep(); });
  showStep();
  if (!byId("steps").hidden) history.replaceState(null, "", toLink(settings));
}

function showResults() {
  const rows = Object.entries(operations).map(([key, { symbol, name }]) => {
    const { values, exact, bound, by } = example[key];
    const shape = { y: example.output, dx: example.input, dw: example.weight, db: [values.length] }[symbol];
    const row = document.createElement("tr");
    row.dataset.operation = key;
    const error = values.reduce((most, value, i) => {
      const off = Math.abs(value - exact[i]);
      return Math.max(most, off === 0 ? 0 : off / bound[i]);
    }, 0);
    const cells = [`${symbol}, ${name}`, nested(Array.from(values, number), shape), engine ? `${by}, on the GPU` : "the reference", error.toFixed(2)];
    row.append(...cells.map((text, i) => {
      const cell = message("td", text);
      if (i === 1 || i === 2) cell.className = "text";
      return cell;
    }));
    return row;
  });
  byId("steps-results").tBodies[0].replaceChildren(...rows);
}

/** Formats values in brackets, nested by shape. */
function nested(values, shape) {
  if (shape.length === 1) return `[${values.join(", ")}]`;
  const each = values.length / shape[0];
  return `[${Array.from({ length: shape[0] }, (_, i) => nested(values.slice(i * each, (i + 1) * each), shape.slice(1))).join(", ")}]`;
}

function showStep() {
  const operation = operations[settings.operation];
  const { values, exact } = answer();
  byId("steps-step").value = step;
  byId("steps-count").textContent = `${step + 1} of ${values.length}`;
  // Not `disabled`, which would take the keyboard focus from them.
  byId("steps-back").setAttribute("aria-disabled", String(step === 0));
  byId("steps-next").setAttribute("aria-disabled", String(step === values.length - 1));
  const parts = sum(step);
  const names = [];
  const factored = [];
  const products = [];
  if (settings.operation === "forward") {
    const channel = Math.floor(step / example.output[1]);
    names.push([`b[${channel}]`]);
    factored.push([number(example.settings.bias[channel])]);
    products.push(factored[0]);
  }
  const inBrackets = (value) => (value < 0 ? `(${number(value)})` : number(value));
  for (const { factors, product } of parts.slice(0, MOST_SHOWN)) {
    names.push(factors.map(([symbol, index]) => [symbol === "pad" ? `pad[${number(index)}]` : at(symbol, index), symbol]));
    factored.push(factors.map(([symbol, , value]) => [inBrackets(value), symbol]));
    products.push([inBrackets(product)]);
  }
  const equation = byId("steps-equation");
  equation.replaceChildren();
  const mark = ([text, symbol]) => {
    const part = message("span", text);
    part.className = { w: "second", x: "first", pad: "first", dy: settings.operation === "inputGradient" ? "first" : "second" }[symbol] ?? "";
    return part;
  };
  const write = (sums) => {
    if (sums.length === 0) equation.append("0");
    sums.forEach((factors, i) => {
      if (i > 0) equation.append(" + ");
      if (typeof factors === "string" || typeof factors[0] === "string") equation.append(String(factors));
      else factors.forEach((factor, j) => equation.append(...(j > 0 ? [" · ", mark(factor)] : [mark(factor)])));
    });
    if (parts.length > MOST_SHOWN) equation.append(` + ${parts.length - MOST_SHOWN} more`);
  };
  equation.append(mark([at(operation.symbol, step), ""]), " = ");
  write(names);
  equation.append(document.createElement("br"), " = ");
  write(factored);
  if (settings.operation !== "biasGradient") {
    equation.append(document.createElement("br"), " = ");
    write(products);
  }
  equation.append(document.createElement("br"), " = ");
  const result = message("span", number(values[step]));
  result.className = "sum";
  result.id = "steps-result";
  equation.append(result);
  equation.append(number(exact[step]) === number(values[step]) ? "" : ` (exactly ${short(exact[step], 10)})`);
  if (parts.length === 0) equation.append(settings.operation === "inputGradient" ? " (no output uses this sample)" : "");
  highlight(parts, values, step);
}

// ---- Playing ----

function pause() {
  clearInterval(playing);
  playing = 0;
  byId("steps-equation").setAttribute("aria-live", "polite");
  byId("steps-play").textContent = "Play";
}

function move(by) {
  if (!example) return;
  const next = step + by;
  if (next < 0 || next >= answer().values.length) return pause();
  step = next;
  showStep();
}

function play() {
  if (playing) return pause();
  if (!example) return;
  if (step === answer().values.length - 1) {
    step = 0;
    showStep();
  }
  byId("steps-play").textContent = "Pause";
  byId("steps-equation").setAttribute("aria-live", "off");
  playing = setInterval(() => move(1), 1100);
}

/** Discards rejected input before other settings replace it. */
function forgetRefused() {
  for (const field of document.querySelectorAll("#steps-values [aria-invalid]")) field.removeAttribute("aria-invalid");
}

/** Takes the settings of an address; without any, keeps the current ones. */
function take(hash) {
  if (!hash.startsWith("#steps?")) {
    if (!byId("steps").hidden && example) history.replaceState(null, "", toLink(settings));
    return;
  }
  const given = fromLink(hash, operations);
  byId("steps-linked").textContent = given ? "" : "The link is damaged: its example could not be read.";
  forgetRefused();
  settings = given ?? settings;
  memory.input = [];
  memory.weight = [];
  fit(settings.input[0].length, settings.weight[0].length);
  step = 0;
}

/** @param {import("./conv1d_web.js").Engine | null} opened */
export function startSteps(opened) {
  engine = opened;
  buildForm();
  const preset = byId("steps-preset");
  preset.append(new Option("choose an example", ""), ...Object.keys(presets).map((name) => new Option(name, name)));
  preset.addEventListener("change", () => {
    if (!preset.value) return;
    settings = { ...structuredClone(plain), ...structuredClone(presets[preset.value]), operation: settings.operation };
    memory.input = [];
    memory.weight = [];
    forgetRefused();
    // Lets the same example be chosen again.
    preset.value = "";
    step = 0;
    update();
  });
  byId("steps-operation").append(...Object.entries(operations).map(([key, { name }]) => {
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "operation", value: key });
    input.addEventListener("change", () => {
      pause();
      settings.operation = key;
      step = 0;
      showForm();
      showOperation();
    });
    const label = document.createElement("label");
    label.append(input, ` ${name}`);
    return label;
  }));
  byId("steps-back").addEventListener("click", () => { pause(); move(-1); });
  byId("steps-next").addEventListener("click", () => { pause(); move(1); });
  byId("steps-play").addEventListener("click", play);
  byId("steps-step").addEventListener("input", (event) => { pause(); step = Number(event.target.value); if (example) showStep(); });
  byId("steps-link").addEventListener("click", async () => {
    const address = new URL(toLink(settings), location.href).href;
    try {
      await navigator.clipboard.writeText(address);
      byId("steps-linked").textContent = "Copied.";
    } catch {
      byId("steps-linked").textContent = address;
    }
  });
  addEventListener("hashchange", () => {
    if (byId("steps").hidden) pause();
    const linked = location.hash.startsWith("#steps?");
    take(location.hash);
    if (linked) update();
  });
  if (!engine) byId("steps-intro").textContent = "Change any number, then step through every output and every gradient, with the products that add up to it.";
  take(location.hash);
  showForm();
  update();
}
