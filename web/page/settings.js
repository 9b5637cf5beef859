// Settings of the worked example: limits, presets, and their form in the page's address.

/** Largest value of each parameter; the smallest is 1. */
export const limits = { inChannels: 4, outChannels: 4, groups: 4, length: 24, kernelSize: 9, stride: 8, dilation: 8 };
export const paddings = {
  valid: "none (valid)", same: "same", "same-lower": "same, odd one left", causal: "causal", "anti-causal": "anti-causal",
  full: "full", explicit: "left and right:",
};
export const modes = {
  zeros: "zeros", constant: "a constant:", reflect: "reflected", symmetric: "symmetric", replicate: "replicated",
  circular: "circular",
};

/** The worked example. */
export const plain = {
  inChannels: 1, outChannels: 1, groups: 1, stride: 1, dilation: 1, padding: "valid", left: 1, right: 1, mode: "zeros", constant: 1,
  input: [[1, 2, 3, 4, 5]], weight: [[1, 0, -1]], bias: [0], outputGradient: [], operation: "forward",
};
export const presets = {
  "the worked example": {},
  "stride 2": { stride: 2, input: [[1, 2, 3, 4, 5, 6, 7, 8, 9]] },
  "dilation 2, causal": { dilation: 2, padding: "causal", input: [[1, 2, 3, 4, 5, 6, 7, 8]] },
  "same length, reflected": { padding: "same", mode: "reflect" },
  "two channels into one": { inChannels: 2, input: [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]], weight: [[1, 0, -1], [0.5, 1, 0.5]] },
  "two groups": {
    inChannels: 2, outChannels: 2, groups: 2, bias: [0, 1], input: [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]],
    weight: [[1, 0, -1], [0.5, 1, 0.5]],
  },
  "moving average": { input: [[4, 8, 6, 5, 3, 7, 9, 2]], weight: [[0.25, 0.25, 0.25, 0.25]] },
};

/** The nearest integer within limits; `least` if the value is not a number. */
export const clamp = (value, least, most) => Math.min(Math.max(Math.round(Number(value)) || least, least), most);

/** Writes settings as the fragment of an address. */
export function toLink(settings) {
  const changed = Object.fromEntries(Object.entries(settings).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(plain[name])));
  if (settings.outputGradient.every((value) => value === 1)) delete changed.outputGradient;
  return Object.keys(changed).length > 0 ? `#steps?${encodeURIComponent(JSON.stringify(changed))}` : "#steps";
}

/** Reads settings from the fragment of an address; unknown choices keep their default. Null without readable settings. */
export function fromLink(hash, operations) {
  const text = hash.split("?")[1];
  if (!text) return null;
  try {
    const given = JSON.parse(decodeURIComponent(text));
    const read = structuredClone(plain);
    const rows = (value, most) => {
      const list = [].concat(value).slice(0, 16).map((row) => [].concat(row).map(Number).slice(0, most));
      if (list.length === 0 || list.some((row) => row.length === 0 || !row.every(Number.isFinite))) throw new Error("no numbers");
      return list;
    };
    for (const name of ["inChannels", "outChannels", "groups", "stride", "dilation"]) {
      if (name in given) read[name] = clamp(given[name], 1, limits[name]);
    }
    for (const name of ["left", "right"]) if (name in given) read[name] = clamp(given[name], 0, 24);
    if (Object.hasOwn(paddings, given.padding)) read.padding = String(given.padding);
    if (Object.hasOwn(modes, given.mode)) read.mode = String(given.mode);
    if (Object.hasOwn(operations, given.operation)) read.operation = String(given.operation);
    if (Number.isFinite(given.constant)) read.constant = given.constant;
    if (given.input) read.input = rows(given.input, limits.length);
    if (given.weight) read.weight = rows(given.weight, limits.kernelSize);
    if (given.bias) read.bias = rows([given.bias], limits.outChannels)[0];
    if (given.outputGradient) read.outputGradient = rows([given.outputGradient], 1024)[0];
    return read;
  } catch {
    return null;
  }
}
