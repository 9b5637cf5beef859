// Sounds: generated, read from a file or recorded; played, and written as WAV. A signal is an array of one Float32Array per channel.

/** Sample rate of everything on this page, in Hz. The browser resamples files to it. */
export const RATE = 48_000;

/** Most samples of all channels together: 128 MiB, and as much again after the filter. */
export const MOST_SAMPLES = 2 ** 25;

/** Reproducible noise in -1..1. */
function noise() {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

const seconds = (length, sample) => [Float32Array.from({ length: Math.round(length * RATE) }, (_, i) => sample(i / RATE, i))];

/** Built-in sounds. */
export const sounds = {
  "a melody under hiss": () => {
    const hiss = noise();
    const notes = [262, 330, 392, 523, 392, 330, 294, 247];
    return seconds(4, (t) => {
      const note = notes[Math.floor(t * 2) % notes.length];
      const since = t % 0.5;
      const tone = [1, 2, 3].reduce((all, harmonic) => all + Math.sin(2 * Math.PI * note * harmonic * t) / harmonic ** 2, 0);
      return 0.35 * tone * Math.exp(-3 * since) * Math.min(1, since * 100) + 0.08 * hiss();
    });
  },
  // From 60 Hz to 200 times that: the phase is the integral of 60 * 200^(t/4).
  "a rising tone": () => seconds(4, (t) => 0.5 * Math.sin((2 * Math.PI * 60 * 4 * (200 ** (t / 4) - 1)) / Math.log(200))),
  "clicks": () => seconds(3, (_, i) => (i % (RATE / 2) === 1000 ? 0.9 : 0)),
  "white noise": () => {
    const hiss = noise();
    return seconds(3, () => 0.3 * hiss());
  },
};

/** Decodes a file in any format that the browser supports. */
export async function decode(bytes) {
  if (bytes.byteLength === 0) throw new Error("the file is empty");
  let buffer;
  try {
    buffer = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes);
  } catch (cause) {
    throw new Error("the browser cannot read this as sound", { cause });
  }
  const channels = Math.min(buffer.numberOfChannels, 2);
  for (let c = 0; c < channels; c++) {
    if (!buffer.getChannelData(c).every(Number.isFinite)) throw new Error("it has samples that are not finite numbers");
  }
  if (buffer.length === 0) throw new Error("there is no sound in it");
  const length = Math.min(buffer.length, Math.floor(MOST_SAMPLES / channels));
  return {
    channels: Array.from({ length: channels }, (_, c) => buffer.getChannelData(c).slice(0, length)),
    /** Describes the part that was left out. */
    cut: [
      length < buffer.length ? `cut, it has ${Math.round(buffer.length / RATE)} s` : "",
      channels < buffer.numberOfChannels ? `the first ${channels} of ${buffer.numberOfChannels} channels` : "",
    ].filter(Boolean).join("; "),
  };
}

/** Starts recording; the returned function ends it and returns the file's bytes. */
export async function record() {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error("this browser offers no microphone to this page");
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const end = () => stream.getTracks().forEach((track) => track.stop());
  let recorder;
  try {
    recorder = new MediaRecorder(stream);
  } catch (error) {
    end();
    throw error;
  }
  const parts = [];
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  const stopped = new Promise((resolve) => recorder.addEventListener("stop", resolve, { once: true }));
  recorder.start();
  return async () => {
    if (recorder.state !== "inactive") recorder.stop();
    await stopped;
    end();
    return new Blob(parts).arrayBuffer();
  };
}

/** The largest magnitude. */
export function peak(channels) {
  let largest = 0;
  for (const channel of channels) for (const sample of channel) largest = Math.max(largest, Math.abs(sample));
  return largest;
}

/** Plays a signal in a loop. Another signal of the same length continues at the current position. */
export class Player {
  #context = null;
  #node = null;
  #started = 0;
  #length = 0;

  /** @param {Float32Array[]} channels @param {number} gain */
  play(channels, gain) {
    this.#context ??= new AudioContext({ sampleRate: RATE });
    this.#context.resume();
    const buffer = new AudioBuffer({ length: channels[0].length, numberOfChannels: channels.length, sampleRate: RATE });
    channels.forEach((samples, c) => buffer.copyToChannel(samples, c));
    const now = this.#context.currentTime;
    const goesOn = this.#node && this.#length === buffer.length;
    if (!goesOn) this.#started = now;
    this.stop();
    this.#length = buffer.length;
    const node = new AudioBufferSourceNode(this.#context, { buffer, loop: true });
    node.connect(new GainNode(this.#context, { gain })).connect(this.#context.destination);
    node.start(now, (now - this.#started) % buffer.duration);
    this.#node = node;
  }

  stop() {
    this.#node?.stop();
    this.#node = null;
  }

  get playing() {
    return this.#node !== null;
  }
}

/** A WAV file of 32-bit floats: nothing is rounded or clipped. */
export function wav(channels) {
  const [count, length] = [channels.length, channels[0].length];
  const bytes = count * length * 4;
  const view = new DataView(new ArrayBuffer(58 + bytes));
  const text = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 50 + bytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 18, true);
  view.setUint16(20, 3, true); // IEEE float
  view.setUint16(22, count, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, RATE * count * 4, true);
  view.setUint16(32, count * 4, true);
  view.setUint16(34, 32, true);
  view.setUint16(36, 0, true);
  text(38, "fact");
  view.setUint32(42, 4, true);
  view.setUint32(46, length, true);
  text(50, "data");
  view.setUint32(54, bytes, true);
  for (let i = 0; i < length; i++) for (let c = 0; c < count; c++) view.setFloat32(58 + (i * count + c) * 4, channels[c][i], true);
  return view.buffer;
}
