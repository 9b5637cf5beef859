// Small things that all parts use.

/** @param {string} id */
export const byId = (id) => document.getElementById(id);

/** An element with a text. */
export function message(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** An SVG element with attributes, in a parent. */
export function svg(parent, tag, attributes = {}, text = undefined) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

/** A number as one would write it, with so many significant digits at most, and a real minus sign. */
export function number(value, digits = 4) {
  if (!Number.isFinite(value)) return String(value).replace("-", "−");
  const rounded = Number(value.toPrecision(digits));
  const magnitude = Math.abs(rounded);
  const exponential = magnitude !== 0 && (magnitude >= 10 ** Math.max(digits, 6) || magnitude < 1e-3);
  return (exponential ? rounded.toExponential() : String(rounded)).replaceAll("-", "−");
}

/** Whether an error says that the GPU is gone for this page. */
export const isLost = (error) => /device was lost/.test(error?.message ?? error);

/** Shows an error in its place, or takes it away. */
export function tell(id, error) {
  const place = byId(id);
  place.hidden = !error;
  place.textContent = error ? String(error.message ?? error) : "";
  if (isLost(error)) place.textContent += ". Reload the page to go on.";
}

/** Hands a file to the visitor. */
export function save(name, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Calls back when the width of an element changes. */
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
 * What comes back starts `run`, one at a time: of many starts while it runs, one more follows. `stale()` inside says whether one will.
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
        // What was asked for meanwhile is still wanted.
        reportError(error);
      }
    }
    running = false;
  };
}
