// The benchmark: a table that grows row by row, and the roofline.

import { Bench, version } from "./conv1d_web.js";
import { byId, isLost, message, number, onWidth, save, svg, tell } from "./dom.js";

/** A selection of layers with different limits. */
const few = [
  "seed_multichannel", "financial_k21", "wavenet_dilated", "keras_tcn_default", "convtasnet_depthwise", "wav2vec2_conv1",
  "whisper_large_conv1", "hifigan_up3", "encodec_first", "conformer_depthwise", "aweighting_fir", "mamba1_short",
];

let engine = null;
let bench = null;
let results = [];
let stopped = false;

const percent = (share) => `${Number((share * 100).toPrecision(2))} %`;

/** Shows the peak rates and, once there are rows, the best rate and the largest error. */
function showCards() {
  const { gflops, gbps } = bench.roofline();
  const cards = [[`${number(gflops)} GFLOP/s`, "peak rate of multiply-adds"], [`${number(gbps)} GB/s`, "peak rate of copying"]];
  if (results.length > 0) {
    const worst = Math.max(...results.map((row) => row.error));
    const best = Math.max(...results.map((row) => row.gflops));
    cards.push([`${number(best)} GFLOP/s`, "the best row"], [number(worst), worst <= 1 ? "largest error, as a share of the promised bound" : "largest error: more than the promised bound!"]);
  }
  byId("bench-cards").replaceChildren(...cards.map(([value, label]) => {
    const card = document.createElement("div");
    card.className = "card";
    card.append(message("b", value), label);
    return card;
  }));
}

function showRow(row) {
  const line = document.createElement("tr");
  Object.assign(line.dataset, { layer: row.name, operation: row.operation });
  line.classList.toggle("bad", !(row.error <= 1));
  const cells = [
    row.name, row.operation, `[${row.input.join(", ")}]${row.shrunk ? ` of [${row.full.join(", ")}]` : ""}`, number(row.ms), number(row.gflops), number(row.gbps),
    `${percent(row.reached)} ${row.limit}`, row.kernel, number(row.error),
  ];
  line.append(...cells.map((text, i) => {
    const cell = message("td", text);
    if ([1, 2, 7].includes(i)) cell.className = "text";
    if (i === 3) cell.title = `${number(row.fastestMs)} to ${number(row.slowestMs)} ms, ${row.samples} samples`;
    return cell;
  }));
  byId("bench-table").tBodies[0].append(line);
}

function showFailure(name, operation, error) {
  const line = document.createElement("tr");
  line.className = "bad";
  const cell = message("td", `failed: ${error.message ?? error}`);
  Object.assign(cell, { colSpan: 7, className: "text" });
  line.append(message("td", name), message("td", operation), cell);
  byId("bench-table").tBodies[0].append(line);
}

/** Draws the roofline: operations per second over operations per byte, both logarithmic. */
function draw() {
  const picture = byId("bench-roofline");
  const width = picture.clientWidth;
  if (!bench || width === 0) return;
  const height = Math.min(420, Math.max(280, width * 0.5));
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.replaceChildren();
  const [left, bottom, right, above] = [54, height - 40, width - 20, 26];
  const { gflops } = bench.roofline();
  const least = Math.min(gflops / 1000, ...results.map((row) => row.gflops / 2));
  const span = ([a, b], [from, to]) => (value) => from + ((Math.log(value) - Math.log(a)) / (Math.log(b) - Math.log(a))) * (to - from);
  const x = span([0.25, 1024], [left, right]);
  const y = span([least, gflops * 2], [bottom, above]);
  for (let at = 0.25; at <= 1024; at *= 4) {
    svg(picture, "line", { class: "axis", x1: x(at), x2: x(at), y1: above, y2: bottom });
    svg(picture, "text", { class: "tick", x: x(at), y: bottom + 16, "text-anchor": "middle" }, number(at));
  }
  for (let at = 10 ** Math.ceil(Math.log10(least)); at <= gflops * 2; at *= 10) {
    svg(picture, "line", { class: "axis", x1: left, x2: right, y1: y(at), y2: y(at) });
    svg(picture, "text", { class: "tick", x: 4, y: y(at) + 4 }, number(at));
  }
  svg(picture, "text", { class: "tick", x: left, y: height - 6 }, "operations per byte");
  svg(picture, "text", { class: "tick", x: 4, y: 14 }, "GFLOP/s");
  const roof = Array.from({ length: 49 }, (_, i) => 0.25 * 4096 ** (i / 48))
    .map((at) => [x(at), y(bench.roofAt(at))])
    .filter(([, height]) => height <= bottom);
  svg(picture, "path", { class: "roof", d: roof.map(([a, b], i) => `${i === 0 ? "M" : "L"}${a.toFixed(1)} ${b.toFixed(1)}`).join("") });
  for (const row of results) {
    const point = svg(picture, "circle", {
      class: row.operation.replace(" ", "-"), cx: x(Math.min(Math.max(row.intensity, 0.25), 1024)), cy: y(row.gflops), r: 5,
    });
    point.addEventListener("click", () => select(row));
    svg(point, "title", {}, `${row.name}, ${row.operation}: ${number(row.gflops)} GFLOP/s, ${percent(row.reached)} of the ${row.limit} limit`);
  }
}

/** Marks the table row of a point. */
function select(row) {
  for (const line of byId("bench-table").tBodies[0].rows) {
    const is = line.dataset.layer === row.name && line.dataset.operation === row.operation;
    line.classList.toggle("selected", is);
    if (is) line.scrollIntoView({ block: "nearest" });
  }
}

/** The results in the format that `conv1d bench --compare` reads. */
export function file() {
  const layers = new Map();
  for (const row of results) {
    const layer = layers.get(row.name) ?? { name: row.name, gflop: row.gflop, input: row.input, shrunk_to: row.shrunk ? row.input : null, ops: {} };
    layers.set(row.name, layer);
    layer.ops[{ forward: "fwd", "input gradient": "dgrad", "weight gradient": "wgrad" }[row.operation]] = {
      ms: row.ms, min_ms: row.fastestMs, max_ms: row.slowestMs, samples: row.samples, gflops: row.gflops, gbps: row.gbps,
      kernel: row.kernel, bound_used: row.error,
    };
  }
  const meta = {
    tool: "conv1d in a browser", version: version(), adapter: byId("device").textContent, browser: navigator.userAgent,
    date: new Date().toISOString(),
  };
  return { meta, roofline: { gpu: bench.roofline() }, results: [...layers.values()] };
}

async function run() {
  const operations = [...document.querySelectorAll("#bench-operations input:checked")].map((input) => input.value);
  if (operations.length === 0) return tell("bench-error", new Error("Select at least one operation to measure."));
  tell("bench-error", null);
  stopped = false;
  results = [];
  let failed = 0;
  byId("bench-table").tBodies[0].replaceChildren();
  byId("bench-cards").replaceChildren();
  byId("bench-roofline").replaceChildren();
  const chosen = byId("bench-layers").value;
  byId("bench-run").disabled = true;
  byId("bench-stop").disabled = false;
  byId("bench-save").disabled = true;
  const status = byId("bench-status");
  const progress = byId("bench-progress");
  Object.assign(progress, { hidden: false, value: 0 });
  status.dataset.state = "running";
  try {
    status.textContent = "Measuring the peak rates of the device…";
    const fresh = await Bench.open(engine, Number(byId("bench-seconds").value));
    bench?.free();
    bench = fresh;
    for (const id of ["bench-table", "bench-key"]) byId(id).hidden = false;
    byId("bench-roofline").removeAttribute("hidden");
    const layers = bench.layers().filter((name) => chosen === "all" || few.includes(name));
    progress.max = layers.length * operations.length;
    rows: for (const name of layers) {
      for (const operation of operations) {
        if (stopped) break rows;
        status.textContent = `${name}, ${operation}`;
        try {
          const row = await bench.measure(name, operation);
          results.push(row);
          showRow(row);
        } catch (error) {
          failed += 1;
          showFailure(name, operation, error);
          if (isLost(error)) throw error;
        }
        progress.value += 1;
        showCards();
        draw();
        // Lets the browser paint before the next row blocks the page.
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
    const shrunk = results.some((row) => row.shrunk) ? " Inputs “of” larger ones were shrunk to save time." : "";
    status.textContent = `${stopped ? "Stopped" : "Done"}: ${results.length} rows${failed > 0 ? `, ${failed} failed` : ""}.${shrunk}`;
  } catch (error) {
    status.textContent = "";
    tell("bench-error", error);
  } finally {
    status.dataset.state = "done";
    progress.hidden = true;
    byId("bench-run").disabled = false;
    byId("bench-stop").disabled = true;
    byId("bench-save").disabled = results.length === 0;
  }
}

/** @param {import("./conv1d_web.js").Engine} opened */
export function startBench(opened) {
  engine = opened;
  byId("bench-software").hidden = !byId("device").dataset.software;
  byId("bench-run").addEventListener("click", run);
  byId("bench-stop").addEventListener("click", () => {
    stopped = true;
    byId("bench-status").textContent = "Stopping after this row…";
  });
  byId("bench-save").addEventListener("click", () => {
    save("conv1d-bench.json", "application/json", JSON.stringify(file(), null, 1));
  });
  onWidth(byId("bench"), draw);
}
