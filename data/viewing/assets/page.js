"use strict";
// The viewer of a recording: state, numbers from their bytes, words. The other scripts follow in the same element.
// One clock (`now`, a frame number) moves the films and the cursor of every plot. What is drawn where is decided in
// data/viewer_panels.py (`page.sections`). Text of a recording is set as text, never as markup.

const $ = (id) => document.getElementById(id);
const page = JSON.parse($("page").textContent);
const LEFT = 46, RIGHT = 6; // pixels beside the plotted area, as in page.css (.line)
const COLORS = 6;

let episode = null; // what is shown: its row in page.episodes, with `series` and `films` once loaded
let now = 0, playing = false, last = 0, over = null;
let films = [], panels = [], shown = [];
const off = new Set(); // keys of the elements that are switched off
const apart = new Map(page.sections.map((s) => [s.name, s.apart]));
const loaded = new Map();

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in node && name !== "role") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function bytes(text) {
  const binary = atob(text), out = new Uint8Array(binary.length);
  for (let i = 0; i < out.length; i++) out[i] = binary.charCodeAt(i);
  return out;
}

function unpack(column) { // one array per element, over the frames
  const { buffer } = bytes(column.data);
  const width = column.width, view = new DataView(buffer);
  const [size, read] = { f4: [4, "getFloat32"], f8: [8, "getFloat64"], u1: [1, "getUint8"], u2: [2, "getUint16"] }[column.type];
  const frames = buffer.byteLength / size / width;
  return Array.from({ length: width }, (_, d) => Float64Array.from({ length: frames }, (_, t) => {
    const value = view[read](size * (t * width + d), true);
    return column.step ? column.low[d] + column.step[d] * value : value;
  }));
}

function say(value, digits = 4) {
  const size = Math.abs(value), plain = Number.isInteger(value) ? size < 1e15 : size < 1e6 && size >= 1e-3;
  return (plain ? String(Number.isInteger(value) ? value : Number(value.toPrecision(digits))) : value.toExponential(digits - 2)).replace("-", "−");
}

const fixed = (value, digits) => value.toFixed(Math.min(8, digits)).replace(/^-(?=0*\.?0*$)/, "").replace("-", "−");
const seconds = (frame) => (frame / page.fps).toFixed(2);

