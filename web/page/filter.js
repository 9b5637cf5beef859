// Filters a recording; the taps of the filter can be dragged.

import { Recording, design, response } from "./conv1d_web.js";
import { byId, newest, number, onWidth, save, svg, tell } from "./dom.js";
import { MOST_SAMPLES, Player, RATE, decode, peak, record, sounds, wav } from "./sound.js";

/** Samples per channel that are filtered at once, so that the page stays responsive. */
const BLOCK = 2 ** 18;
/** Points of a frequency response. */
const POINTS = 4097;
/** Fewest samples in view. */
const CLOSEST = 64;
const designs = {
  "low-pass": "low-pass", "high-pass": "high-pass", smooth: "mean", difference: "difference", echo: "echo", identity: "identity",
  own: "your own",
};
/** Samples between the taps of an echo: a fifth of a second. */
const ECHO = 9600;

let engine = null;
let before = [];
let after = [];
/** Samples of `after` that belong to the current taps. */
let ready = 0;
/** The signal in WebAssembly, and the samples of the one that will replace it. */
let recording = null;
let waitingSamples = null;
/** Signals requested so far. */
let loads = 0;
let loudestBefore = 0;
/** Sample value at half the height of a wave: the loudest sample, before or after. */
let loudness = 1;
let taps = new Float32Array(31);
let dilation = 1;
let focusedTap = 0;
let stopRecording = null;
let hearing = null;
const player = new Player();

// ---- The signal ----

async function load(read, name) {
  const turn = ++loads;
  tell("filter-error", null);
  const status = byId("filter-status").textContent;
  byId("filter-status").textContent = `Reading ${name}…`;
  try {
    const { channels, cut } = await read();
    // Another signal was chosen meanwhile.
    if (turn !== loads) return;
    before = channels;
    after = before.map((channel) => new Float32Array(channel.length));
    ready = 0;
    loudestBefore = peak(before);
    loudness = Math.max(loudestBefore, 1e-6);
    byId("filter-cursor").max = before[0].length - 1;
    byId("filter-cursor").value = Math.floor(before[0].length / 4);
    const what = `${name}: ${time(before[0].length)}, ${before.length === 1 ? "mono" : "stereo"} at ${RATE / 1000} kHz`;
    byId("filter-status").textContent = cut ? `${what}; ${cut}` : what;
    byId("filter-sound").value = name in sounds ? name : "";
    if (hearing) hear(hearing);
    const fresh = new Float32Array(before.length * before[0].length);
    before.forEach((channel, c) => fresh.set(channel, c * channel.length));
    await filter({ samples: fresh });
  } catch (error) {
    if (turn !== loads) return;
    byId("filter-status").textContent = status;
    tell("filter-error", new Error(`${name}: ${error.message ?? error}`));
  }
}

const time = (samples) => (samples < RATE / 100 ? `${samples} samples` : `${number(samples / RATE)} s`);

/** Filters the samples in view first, then all samples; starts again if the taps have changed meanwhile. */
const run = newest(async (stale) => {
  try {
    if (waitingSamples) {
      recording?.free();
      recording = null;
      const samples = waitingSamples;
      waitingSamples = null;
      recording = new Recording(samples, before.length);
    }
    if (!recording || recording.length !== before[0].length) return;
    const started = performance.now();
    const length = before[0].length;
    const [from, to] = view();
    if (to - from < length) await part(from, Math.min(to, from + BLOCK));
    drawWaves();
    for (let at = 0; at < length && !stale(); at += BLOCK) {
      await part(at, Math.min(at + BLOCK, length));
      ready = Math.min(at + BLOCK, length);
    }
    if (stale()) return;
    tell("filter-error", null);
    const loudest = peak(after);
    loudness = Math.max(loudestBefore, loudest, 1e-6);
    byId("filter-loudness").textContent = `${time(length)} filtered in ${number(performance.now() - started)} ms; loudest sample ${number(loudest)}${loudest > 1 ? ", played softer" : ""}`;
    byId("filter-loudness").dataset.done = String(Number(byId("filter-loudness").dataset.done ?? 0) + 1);
    byId("filter-save").disabled = false;
    drawWaves();
    if (hearing === "after") hear("after");
  } catch (error) {
    tell("filter-error", error);
  }
});

/** @param {{ samples?: Float32Array }} [change] */
function filter(change = {}) {
  if (change.samples) waitingSamples = change.samples;
  ready = 0;
  byId("filter-save").disabled = true;
  byId("filter-loudness").textContent = "";
  drawTaps();
  drawResponse();
  return run();
}

async function part(from, to) {
  const target = after;
  const filtered = await recording.filtered(engine, taps, dilation, from, to);
  target.forEach((channel, c) => channel.set(filtered.subarray(c * (to - from), (c + 1) * (to - from)), from));
}

// ---- Views ----

/** First sample in view, and the one after the last. */
function view() {
  const length = before[0].length;
  const zoom = Number(byId("filter-zoom").value);
  const shown = Math.max(Math.round(length * (Math.min(CLOSEST, length) / length) ** zoom), 1);
  const from = Math.round((length - shown) * Number(byId("filter-from").value));
  return [from, from + shown];
}

function drawWaves() {
  if (before.length === 0) return;
  const [from, to] = view();
  byId("filter-from-at").textContent = time(from);
  byId("filter-zoom-at").textContent = to - from < 1000 ? `${to - from} samples` : time(to - from);
  drawWave(byId("filter-before"), before, from, to, "--soft");
  drawWave(byId("filter-after"), after, from, to, "--accent");
  readCursor();
}

/** Index of the sample at the cursor. */
const cursor = () => Math.min(Math.max(Math.floor(Number(byId("filter-cursor").value)) || 0, 0), before[0].length - 1);

function readCursor() {
  const at = cursor();
  const value = (sample) => (Math.abs(sample) < 5e-7 ? 0 : sample).toFixed(6).replace("-", "−");
  const values = (channels) => channels.map((channel) => value(channel[at])).join(", ");
  byId("filter-value-before").textContent = values(before);
  byId("filter-value-after").textContent = values(after);
}

function drawWave(canvas, channels, from, to, colour) {
  const scale = devicePixelRatio;
  const [width, bottom] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
  if (width === 0) return;
  Object.assign(canvas, { width, height: bottom });
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const tall = bottom / channels.length;
  channels.forEach((channel, c) => {
    const y = (value) => tall * (c + 0.5 - 0.48 * Math.max(-1, Math.min(1, value / loudness)));
    context.strokeStyle = style.getPropertyValue("--line");
    context.lineWidth = scale;
    line(context, [[0, y(0)], [width, y(0)]]);
    context.strokeStyle = context.fillStyle = style.getPropertyValue(colour);
    const shown = to - from;
    if (shown > width) {
      for (let column = 0; column < width; column++) {
        let [least, most] = [Infinity, -Infinity];
        const end = from + Math.ceil(((column + 1) * shown) / width);
        for (let i = from + Math.floor((column * shown) / width); i < end && i < to; i++) {
          least = Math.min(least, channel[i]);
          most = Math.max(most, channel[i]);
        }
        context.fillRect(column, y(most), 1, Math.max(y(least) - y(most), scale));
      }
    } else {
      context.lineWidth = 1.5 * scale;
      line(context, Array.from({ length: shown }, (_, i) => [((i + 0.5) * width) / shown, y(channel[from + i])]));
    }
  });
  const at = cursor();
  if (at >= from && at < to) {
    const x = ((at - from + 0.5) * width) / (to - from);
    context.strokeStyle = style.getPropertyValue("--input-gradient");
    context.lineWidth = scale;
    line(context, [[x, 0], [x, bottom]]);
  }
}

function line(context, points) {
  context.beginPath();
  points.forEach(([x, y], i) => (i === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
  context.stroke();
}

// ---- Taps ----

function drawTaps() {
  const picture = byId("filter-taps");
  const [width, height] = [picture.clientWidth, 200];
  if (width === 0) return;
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const each = width / taps.length;
  const y = (value) => height / 2 - (value / top) * (height / 2 - 8);
  if (picture.querySelectorAll(".tap").length !== taps.length || picture.dataset.width !== String(width)) {
    const hadFocus = picture.contains(document.activeElement);
    picture.dataset.width = String(width);
    picture.replaceChildren();
    svg(picture, "line", { class: "axis", x1: 0, x2: width, y1: height / 2, y2: height / 2 });
    taps.forEach((_, i) => {
      const tap = svg(picture, "g", { class: "tap", role: "slider", "aria-label": `Tap ${i - (taps.length - 1) / 2}`, "aria-valuemin": "-4", "aria-valuemax": "4", "aria-orientation": "vertical" });
      svg(tap, "rect", { class: "field", x: i * each, y: 0, width: each, height });
      svg(tap, "rect", { class: "bar", x: i * each + each * 0.15, width: each * 0.7, rx: Math.min(3, each * 0.2) });
    });
    if (hadFocus) picture.querySelectorAll(".tap")[focusedTap]?.focus();
  }
  focusedTap = Math.min(focusedTap, taps.length - 1);
  picture.querySelectorAll(".tap").forEach((tap, i) => {
    const [a, b] = [y(0), y(taps[i])];
    const bar = tap.querySelector(".bar");
    bar.setAttribute("y", Math.min(a, b) - 1);
    bar.setAttribute("height", Math.abs(a - b) + 2);
    tap.setAttribute("aria-valuenow", taps[i].toFixed(4));
    tap.setAttribute("tabindex", i === focusedTap ? "0" : "-1");
  });
}

/** Tap value at half the height of the editor: a little more than the largest tap. */
let top = 1;
const rescale = () => { top = Math.max(...taps.map(Math.abs), 0.02) * 1.25; };

function setTap(index, value) {
  taps[index] = Math.min(Math.max(value, -4), 4);
  byId("filter-design").value = "own";
  byId("filter-cutoff").disabled = true;
  showTap(index);
  filter();
}

function showTap(index) {
  focusedTap = index;
  byId("filter-tap").textContent = `Tap ${number(index - (taps.length - 1) / 2)}: ${number(taps[index])}`;
}

function startTaps() {
  const picture = byId("filter-taps");
  const under = (event) => {
    const box = picture.getBoundingClientRect();
    const index = Math.min(Math.max(Math.floor(((event.clientX - box.left) / box.width) * taps.length), 0), taps.length - 1);
    const value = ((0.5 - (event.clientY - box.top) / box.height) * 200 * top) / (100 - 8);
    return [index, Math.min(Math.max(value, -top * 1.08), top * 1.08)];
  };
  let last = null;
  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    last = under(event);
    setTap(...last);
    picture.querySelectorAll(".tap")[last[0]]?.focus({ preventScroll: true });
    event.preventDefault();
  });
  picture.addEventListener("pointermove", (event) => {
    if (!last) return;
    const [index, value] = under(event);
    const [from, start] = last;
    // A fast pointer skips taps: these are set on the line between its positions.
    for (let i = from; i !== index; i += Math.sign(index - from)) taps[i] = Math.min(Math.max(start + ((value - start) * (i - from)) / (index - from), -4), 4);
    last = [index, value];
    setTap(index, value);
  });
  const end = () => {
    if (last) {
      last = null;
      rescale();
      drawTaps();
    }
  };
  picture.addEventListener("pointerup", end);
  picture.addEventListener("pointercancel", end);
  picture.addEventListener("keydown", (event) => {
    const by = (event.shiftKey ? 0.1 : 0.01) * Math.max(top, 0.1);
    const change = { ArrowUp: by, ArrowDown: -by }[event.key];
    const go = { ArrowLeft: -1, ArrowRight: 1, Home: -taps.length, End: taps.length }[event.key];
    if (change !== undefined) {
      setTap(focusedTap, Math.fround(taps[focusedTap] + change));
      if (Math.abs(taps[focusedTap]) > top) { rescale(); drawTaps(); }
    } else if (event.key === "0" || event.key === "Delete") {
      setTap(focusedTap, 0);
    } else if (go !== undefined) {
      showTap(Math.min(Math.max(focusedTap + go, 0), taps.length - 1));
      drawTaps();
      picture.querySelectorAll(".tap")[focusedTap].focus();
    } else {
      return;
    }
    event.preventDefault();
  });
  picture.addEventListener("focusin", (event) => {
    const index = [...picture.querySelectorAll(".tap")].indexOf(event.target);
    if (index >= 0) showTap(index);
  });
}

/**
 * Cutoff in Hz. The scale is logarithmic, from 20 Hz to half the sample rate. With a dilation, the cutoff is at most half the sample
 * rate divided by it, because the taps read fewer samples per second.
 */
function cutoff() {
  return Math.min(20 * (RATE / 2 / 20) ** Number(byId("filter-cutoff").value), RATE / 2 / dilation);
}

function redesign() {
  const count = Math.min(Math.max(Number(byId("filter-taps-count").value) || taps.length, 1), 127) | 1;
  byId("filter-taps-count").value = count;
  const name = byId("filter-design").value;
  byId("filter-cutoff").disabled = !name.endsWith("pass");
  byId("filter-cutoff-hz").textContent = `${Math.round(cutoff())} Hz`;
  if (name === "own") {
    const centred = new Float32Array(count);
    for (let i = 0; i < count; i++) centred[i] = taps[i + (taps.length - count) / 2] ?? 0;
    taps = centred;
  } else {
    taps = design(name, count, Math.min((cutoff() * dilation) / RATE, 0.5));
    byId("filter-tap").textContent = "";
  }
  rescale();
  filter();
}

function drawResponse() {
  const picture = byId("filter-response");
  const [width, height] = [picture.clientWidth, 160];
  if (width === 0) return;
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.replaceChildren();
  const [left, bottom] = [42, height - 20];
  const y = (db) => 6 + ((20 - Math.max(-80, Math.min(20, db))) / 100) * (bottom - 6);
  const x = (frequency) => left + (Math.log(frequency / 20) / Math.log(RATE / 2 / 20)) * (width - left - 4);
  for (const db of [0, -20, -40, -60]) {
    svg(picture, "line", { class: "axis", x1: left, x2: width, y1: y(db), y2: y(db) });
    svg(picture, "text", { class: "tick", x: 0, y: y(db) + 4 }, `${number(db)} dB`);
  }
  for (const [frequency, text] of [[100, "100 Hz"], [1000, "1 kHz"], [10_000, "10 kHz"]]) {
    svg(picture, "line", { class: "axis", x1: x(frequency), x2: x(frequency), y1: 6, y2: bottom });
    svg(picture, "text", { class: "tick", x: x(frequency) - 14, y: height - 4 }, text);
  }
  // With a dilation, the response repeats, mirrored at half the taps' rate. A column with many repetitions shows their range.
  const decibels = response(taps, POINTS);
  const [least, most] = [decibels.reduce((a, b) => Math.min(a, b)), decibels.reduce((a, b) => Math.max(a, b))];
  const folded = (cycles) => decibels[Math.round(2 * Math.abs(cycles - Math.round(cycles)) * (POINTS - 1))];
  const edges = [[], []];
  for (let column = left; column < width - 4; column++) {
    const [from, to] = [column, column + 1].map((at) => (20 * (RATE / 2 / 20) ** ((at - left) / (width - left - 4)) * dilation) / RATE);
    const near = Array.from({ length: 9 }, (_, i) => folded(from + ((to - from) * i) / 8));
    const range = to - from >= 0.5 ? [least, most] : [Math.min(...near), Math.max(...near)];
    edges.forEach((edge, i) => edge.push(`${column} ${y(range[i]).toFixed(1)}`));
  }
  svg(picture, "path", { class: "curve", d: `M${edges[0].join("L")}L${edges[1].reverse().join("L")}Z` });
}

// ---- Hearing ----

function hear(which) {
  const channels = which === "before" ? before : after;
  try {
    player.play(channels, 0.9 / Math.max(1, peak(channels)));
    hearing = which;
  } catch (error) {
    hearing = null;
    tell("filter-error", error);
  }
  showHearing();
}

function showHearing() {
  byId("filter-play-before").setAttribute("aria-pressed", String(hearing === "before"));
  byId("filter-play-after").setAttribute("aria-pressed", String(hearing === "after"));
  byId("filter-stop").disabled = hearing === null;
  byId("filter").dataset.playing = player.playing ? "yes" : "no";
}

function startSource() {
  const choice = byId("filter-sound");
  choice.append(new Option("choose a sound", ""), ...Object.keys(sounds).map((name) => new Option(name, name)));
  choice.value = Object.keys(sounds)[0];
  const made = () => load(async () => ({ channels: sounds[choice.value](), cut: "" }), choice.value);
  choice.addEventListener("change", () => choice.value && made());
  const open = (file) => {
    if (!file) return;
    // A larger file would fill the memory before it could be cut.
    if (file.size > MOST_SAMPLES * 8) return tell("filter-error", new Error(`${file.name} has ${Math.round(file.size / 1e6)} MB; at most ${Math.round((MOST_SAMPLES * 8) / 1e6)} can be read`));
    load(async () => decode(await file.arrayBuffer()), file.name);
  };
  byId("filter-file").addEventListener("change", (event) => {
    open(event.target.files[0]);
    event.target.value = "";
  });
  const section = byId("filter");
  const over = (is) => (event) => {
    event.preventDefault();
    section.classList.toggle("over", is);
  };
  section.addEventListener("dragover", over(true));
  section.addEventListener("dragleave", over(false));
  section.addEventListener("drop", (event) => {
    over(false)(event);
    open(event.dataTransfer.files[0]);
  });
  byId("filter-record").addEventListener("click", async () => {
    const button = byId("filter-record");
    // Until the microphone is allowed, or the recording is read.
    button.disabled = true;
    try {
      if (stopRecording) {
        const stop = stopRecording;
        stopRecording = null;
        button.textContent = "Record";
        const bytes = await stop();
        await load(() => decode(bytes), "the microphone");
      } else {
        tell("filter-error", null);
        stopRecording = await record();
        button.textContent = "Stop recording";
      }
    } catch (error) {
      stopRecording = null;
      button.textContent = "Record";
      const denied = error.name === "NotAllowedError";
      tell("filter-error", denied ? new Error("The microphone was not allowed; the browser's site settings can change that.") : error);
    } finally {
      button.disabled = false;
    }
  });
  made();
}

/** @param {import("./conv1d_web.js").Engine} opened */
export function startFilter(opened) {
  engine = opened;
  byId("filter-design").append(...Object.entries(designs).map(([value, text]) => new Option(text, value)));
  startTaps();
  byId("filter-taps-count").addEventListener("change", redesign);
  byId("filter-design").addEventListener("change", (event) => {
    const name = event.target.value;
    if (name === "echo" || dilation === ECHO) {
      dilation = name === "echo" ? ECHO : 1;
      byId("filter-dilation").value = dilation;
    }
    redesign();
  });
  byId("filter-cutoff").addEventListener("input", redesign);
  byId("filter-dilation").addEventListener("change", (event) => {
    dilation = Math.min(Math.max(Math.floor(Number(event.target.value)) || dilation, 1), 96_000);
    event.target.value = dilation;
    redesign();
  });
  const moved = () => {
    drawWaves();
    if (ready < before[0].length) run();
  };
  byId("filter-from").addEventListener("input", moved);
  byId("filter-zoom").addEventListener("input", moved);
  byId("filter-cursor").addEventListener("input", drawWaves);
  byId("filter-cursor").addEventListener("change", (event) => { event.target.value = cursor(); });
  for (const id of ["filter-before", "filter-after"]) {
    const follow = (event) => {
      if (event.type === "pointermove" && event.buttons === 0) return;
      const [from, to] = view();
      const box = event.target.getBoundingClientRect();
      const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
      byId("filter-cursor").value = Math.min(from + Math.floor(share * (to - from)), to - 1);
      drawWaves();
    };
    byId(id).addEventListener("pointerdown", follow);
    byId(id).addEventListener("pointermove", follow);
    onWidth(byId(id), drawWaves);
  }
  onWidth(byId("filter-taps"), drawTaps);
  onWidth(byId("filter-response"), drawResponse);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawWaves);
  byId("filter-play-before").addEventListener("click", () => hear("before"));
  byId("filter-play-after").addEventListener("click", () => hear("after"));
  const stop = () => {
    player.stop();
    hearing = null;
    showHearing();
  };
  byId("filter-stop").addEventListener("click", stop);
  // Leaving this part stops sound and recording: both would disturb the benchmark, and their buttons are hidden.
  addEventListener("hashchange", () => {
    if (!byId("filter").hidden) return;
    if (hearing) stop();
    if (stopRecording) byId("filter-record").click();
  });
  byId("filter-save").addEventListener("click", () => save("filtered.wav", "audio/wav", wav(after)));
  showHearing();
  redesign();
  startSource();
}
