// Helpers that all parts use.

/** @param {string} id */
export const byId = (id) => document.getElementById(id);

/** Creates an element with a text. */
export function message(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** Creates an SVG element with attributes in a parent. */
export function svg(parent, tag, attributes = {}, text = undefined) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

/** Formats a number with at most `digits` significant digits and a true minus sign. */
export function number(value, digits = 4) {
  if (!Number.isFinite(value)) return String(value).replace("-", "−");
  const rounded = Number(value.toPrecision(digits));
  const magnitude = Math.abs(rounded);
  const exponential = magnitude !== 0 && (magnitude >= 10 ** Math.max(digits, 6) || magnitude < 1e-3);
  return (exponential ? rounded.toExponential() : String(rounded)).replaceAll("-", "−");
}

/** Whether an error says that the device was lost. */
export const isLost = (error) => /device was lost/.test(error?.message ?? error);

/** Shows an error in an element, or hides the element if there is none. */
export function tell(id, error) {
  const place = byId(id);
  place.hidden = !error;
  place.textContent = error ? String(error.message ?? error) : "";
  if (isLost(error)) place.textContent += ". Reload the page to go on.";
}

/** Downloads content as a file. */
export function save(name, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Calls `draw` when the width of an element changes. */
export function onWidth(element, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (element.clientWidth !== width) {
      width = element.clientWidth;
      if (width > 0) draw();
    }
  }).observe(element);
}

/**
 * Returns a function that starts `run`, one call at a time. Any number of starts during a call cause one more call. `stale()` tells
 * the running call whether another follows.
 */
export function newest(run) {
  let waiting = false;
  let running = false;
  return async () => {
    waiting = true;
    if (running) return;
    running = true;
    while (waiting) {
      waiting = false;
      try {
        await run(() => waiting);
      } catch (error) {
        // A start requested meanwhile still follows.
        reportError(error);
      }
    }
    running = false;
  };
}
