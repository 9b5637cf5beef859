// Starts the page: loads the library, opens the GPU, and shows one part at a time.

import init, { Engine, version } from "./conv1d_web.js";
import { startSteps } from "./steps.js";
import { startFilter } from "./filter.js";
import { startBench } from "./bench.js";
import { byId, message } from "./dom.js";

const parts = ["steps", "filter", "bench"];
const start = { steps: startSteps, filter: startFilter, bench: startBench };
const needsGpu = { steps: false, filter: true, bench: true };
const started = new Set();
/** Milliseconds to wait for an adapter; browsers take some hundred. */
const PATIENCE = 10_000;
let engine = null;

/** Explains what to do without WebGPU, by the browsers' release notes. */
function explainMissing(reason) {
  const trouble = byId("trouble");
  const advice = [];
  if (!isSecureContext) {
    advice.push("This page was not opened in a secure context: WebGPU is available only on https:// and on http://localhost.");
  }
  advice.push(
    "Chrome and Edge support WebGPU from version 113 on Windows, macOS and ChromeOS, from 121 on Android.",
    "Safari supports it from version 26 on macOS, iOS and iPadOS.",
    "Firefox supports it from version 141 on Windows and 145 on macOS with Apple silicon.",
    "On Linux, recent versions of Chrome support it for some GPUs. For others, start Chrome or Chromium with --enable-unsafe-webgpu --enable-features=Vulkan, or turn on chrome://flags/#enable-unsafe-webgpu.",
    "If the browser is recent, graphics acceleration may be turned off in its settings, or the graphics driver may be blocked: see chrome://gpu.",
  );
  trouble.replaceChildren(
    message("strong", "This browser gives no access to a GPU: " + reason),
    message("p", "“Step by step” still works, computed by the exact reference. The other parts need WebGPU:"),
  );
  const list = document.createElement("ul");
  list.append(...advice.map((text) => message("li", text)));
  trouble.append(list);
  trouble.hidden = false;
}

/** Opens the engine; on failure, shows the reason and returns null. */
async function open() {
  if (!navigator.gpu) {
    explainMissing("it has no WebGPU.");
    return null;
  }
  try {
    const late = new Promise((_, fail) => setTimeout(() => fail(new Error("its WebGPU does not answer.")), PATIENCE));
    const adapter = await Promise.race([navigator.gpu.requestAdapter({ powerPreference: "high-performance" }), late]);
    if (!adapter) {
      explainMissing("it has WebGPU, but offers no adapter.");
      return null;
    }
    const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info ?? {};
    const opened = await Engine.open();
    const names = [description, vendor, architecture, device].filter(Boolean);
    byId("device").textContent = `GPU: ${[...new Set(names)].join(" ") || "unnamed"}`;
    if (isFallbackAdapter) byId("device").dataset.software = "yes";
    return opened;
  } catch (error) {
    explainMissing(String(error.message ?? error));
    return null;
  }
}

function show() {
  const wanted = location.hash.slice(1).split("?")[0];
  const part = parts.includes(wanted) ? wanted : parts[0];
  for (const name of parts) {
    byId(name).hidden = name !== part || (needsGpu[name] && !engine);
  }
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === "#" + part) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!started.has(part) && (engine || !needsGpu[part])) {
    started.add(part);
    start[part](engine);
  }
}

try {
  await init();
  byId("version").textContent = version();
  engine = await open();
  if (!engine) byId("device").textContent = "No GPU";
  addEventListener("hashchange", show);
  show();
} catch (error) {
  byId("device").textContent = "Not loaded";
  byId("trouble").textContent = `This page could not be loaded: ${error.message ?? error}`;
  byId("trouble").hidden = false;
}
