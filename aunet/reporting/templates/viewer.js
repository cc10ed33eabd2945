"use strict";
// The viewer: three planes of a scan on canvas, with label maps and attention over it. Arrays run to the patient's
// right (axis 0), front (axis 1) and head (axis 2), the last axis fastest; each plane shows its axis `across` from high
// to low, which puts right (or front) on the left as in the pictures. Lengths are mm, places in a scan are voxels.

const PLANES = [
  { name: "axial", through: 2, across: 0, up: 1, letters: ["R", "L", "A", "P"] },
  { name: "coronal", through: 1, across: 0, up: 2, letters: ["R", "L", "S", "I"] },
  { name: "sagittal", through: 0, across: 1, up: 2, letters: ["A", "P", "S", "I"] },
];
const LAYERS = ["image", "reference", "prediction", "differences", "cross"];
const FILL = 0.45; // opacity of the prediction
const PAGE = 10; // slices per page key
const FRAME_MS = 350;

const byId = (id) => document.getElementById(id);
const bytesOfText = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

async function unpack(id) {
  const stream = new Blob([bytesOfText(byId(id).textContent)]).stream();
  return new Uint8Array(await new Response(stream.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

class Viewer {
  constructor(settings) {
    this.settings = settings;
    this.colors = bytesOfText(settings.colors);
    this.unpacked = new Map();
    this.shown = settings.cases[0];
    this.place = [0, 0, 0];
    this.frame = 0;
    this.map = null; // the map of attention shown, if any
    this.timer = null;
    this.panes = PLANES.map((plane) => this.makePane(plane));
    settings.cases.forEach((shown, number) => byId("viewer-case").append(element("option", { value: number, textContent: shown.title })));
    this.listen();
    this.makeLegend();
  }

  makePane(plane) {
    const canvas = element("canvas", { tabIndex: 0 });
    canvas.setAttribute("role", "img");
    const slider = element("input", { type: "range", min: 0, step: 1, ariaLabel: `${plane.name} slice` });
    const text = element("span");
    const box = element("div", { className: "plane" }, canvas, element("label", {}, text, slider));
    byId("viewer-planes").append(box);
    const pane = { plane, canvas, slider, text, box };
    slider.addEventListener("input", () => this.moveTo(plane.through, Number(slider.value)));
    canvas.addEventListener("wheel", (event) => {
      const before = this.place[plane.through];
      this.moveTo(plane.through, before - Math.sign(event.deltaY));
      if (this.place[plane.through] !== before) event.preventDefault(); // at the last slice the page scrolls on
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.pointTo(pane, event));
    canvas.addEventListener("pointermove", (event) => event.buttons === 1 && this.pointTo(pane, event));
    canvas.addEventListener("keydown", (event) => this.pressInPlane(plane, event));
    return pane;
  }

  listen() {
    byId("viewer-case").addEventListener("change", (event) => this.open(Number(event.target.value)));
    byId("viewer-map").addEventListener("change", (event) => this.chooseMap(Number(event.target.value)));
    byId("viewer-frame").addEventListener("input", (event) => { this.pause(); this.showFrame(Number(event.target.value)); });
    byId("viewer-play").addEventListener("click", () => (this.timer ? this.pause() : this.play()));
    for (const id of [...LAYERS.map((layer) => `show-${layer}`), "viewer-stretch"]) byId(id).addEventListener("change", () => this.draw());
    byId("viewer-opacity").addEventListener("input", () => this.draw());
    byId("viewer").addEventListener("keydown", (event) => this.pressAnywhere(event));
    new ResizeObserver(() => this.layOut()).observe(byId("viewer-planes"));
  }

  async open(number) {
    this.pause();
    const shown = this.settings.cases[number];
    for (const name of [...Object.values(shown.volumes), ...shown.maps.map((map) => map.blob)]) {
      if (!this.unpacked.has(name)) this.unpacked.set(name, await unpack(name));
    }
    const mapName = this.map?.name;
    this.shown = shown;
    this.place = [...shown.start];
    this.strides = [shown.shape[1] * shown.shape[2], shown.shape[2], 1];
    this.isFlat = shown.shape[2] === 1;
    this.volumes = Object.fromEntries(Object.entries(shown.volumes).map(([name, id]) => [name, this.unpacked.get(id)]));
    for (const layer of ["prediction", "differences"]) {
      byId(`show-${layer}`).disabled = !this.volumes.prediction;
      byId(`show-${layer}`).parentElement.classList.toggle("off", !this.volumes.prediction);
    }
    byId("viewer-note").textContent = shown.note;
    for (const pane of this.panes) {
      pane.box.hidden = this.isFlat && pane.plane.name !== "axial";
      pane.slider.max = shown.shape[pane.plane.through] - 1;
      pane.slider.parentElement.hidden = this.isFlat;
    }
    this.offerMaps(mapName);
    this.layOut();
    byId("viewer").dataset.case = number;
  }

  offerMaps(wanted) {
    const { maps, frames } = this.shown;
    const options = ["none", ...maps.map((map) => map.name)].map((name, index) => element("option", { value: index - 1, textContent: name }));
    byId("viewer-map").replaceChildren(...options);
    byId("viewer-attention").hidden = !maps.length;
    byId("viewer-frame").max = Math.max(frames.length - 1, 0);
    byId("viewer-frame").disabled = byId("viewer-play").disabled = frames.length < 2;
    this.frame = Math.max(frames.length - 1, 0);
    // A case without a prediction was stored for its attention, so that is shown first.
    const same = maps.findIndex((map) => map.name === wanted);
    this.chooseMap(same < 0 && !this.volumes.prediction && maps.length ? maps.length - 1 : same);
  }

  chooseMap(index) {
    this.map = this.shown.maps[index] ?? null;
    byId("viewer-map").value = this.map ? index : -1;
    this.showFrame(this.frame);
  }

  showFrame(frame) {
    this.frame = clamp(frame, 0, Math.max(this.shown.frames.length - 1, 0));
    byId("viewer-frame").value = this.frame;
    byId("viewer-frame-name").textContent = this.shown.frames[this.frame] ?? "";
    this.draw();
  }

  play() {
    if (!this.map) this.chooseMap(0);
    const last = this.shown.frames.length - 1;
    if (this.frame === last) this.showFrame(0);
    byId("viewer-play").textContent = "❚❚";
    this.timer = setInterval(() => (this.frame === last ? this.pause() : this.showFrame(this.frame + 1)), FRAME_MS);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    byId("viewer-play").textContent = "▶";
  }

  moveTo(axis, index) {
    this.place[axis] = clamp(index, 0, this.shown.shape[axis] - 1);
    this.draw();
  }

  pointTo({ plane, canvas }, event) {
    const box = canvas.getBoundingClientRect();
    const across = 1 - (event.clientX - box.left) / box.width;
    const up = 1 - (event.clientY - box.top) / box.height;
    for (const [axis, share] of [[plane.across, across], [plane.up, up]]) {
      this.place[axis] = clamp(Math.floor(share * this.shown.shape[axis]), 0, this.shown.shape[axis] - 1);
    }
    this.draw();
  }

  pressInPlane(plane, event) {
    const index = this.place[plane.through];
    const targets = { ArrowUp: index + 1, ArrowDown: index - 1, PageUp: index + PAGE, PageDown: index - PAGE, Home: 0, End: Infinity };
    if (event.key in targets) this.moveTo(plane.through, targets[event.key]);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.showFrame(this.frame + (event.key === "ArrowRight" ? 1 : -1));
    else return;
    event.preventDefault();
  }

  pressAnywhere(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    const layer = LAYERS.find((name) => name[0] === event.key);
    if (layer) byId(`show-${layer}`).click();
    else if (event.key === "a") this.chooseMap(this.shown.maps.indexOf(this.map) + 1);
  }

  // Size the planes to one scale, in a row if there is room for it, and never higher than most of the window.
  layOut() {
    if (!this.volumes) return;
    const mm = this.shown.shape.map((count, axis) => count * this.shown.spacing[axis]);
    const panes = this.panes.filter((pane) => !pane.box.hidden);
    const room = byId("viewer-planes").clientWidth - 8 * (panes.length - 1) - 2;
    const widths = panes.map(({ plane }) => mm[plane.across]);
    const isRow = room > 560;
    const width = isRow ? widths.reduce((sum, one) => sum + one, 0) : Math.max(...widths);
    const height = Math.max(...panes.map(({ plane }) => mm[plane.up]));
    const scale = Math.min(room / width, Math.max(0.58 * window.innerHeight, 220) / height);
    for (const { plane, canvas } of panes) {
      canvas.style.width = `${Math.round(mm[plane.across] * scale)}px`;
      canvas.style.height = `${Math.round(mm[plane.up] * scale)}px`;
      canvas.width = Math.round(mm[plane.across] * scale * devicePixelRatio);
      canvas.height = Math.round(mm[plane.up] * scale * devicePixelRatio);
    }
    this.draw();
  }

  draw() {
    if (!this.volumes) return;
    for (const pane of this.panes) if (!pane.box.hidden) this.drawPane(pane);
    this.describeScale();
    this.describePlace();
  }

  isOn(layer) {
    const box = byId(`show-${layer}`);
    return box.checked && !box.disabled;
  }

  drawPane({ plane, canvas, slider, text }) {
    const index = this.place[plane.through];
    const context = canvas.getContext("2d");
    context.fillStyle = "black";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (this.isOn("image")) this.paint(context, plane, true, (at, put) => { const grey = this.volumes.image[at]; put(grey, grey, grey, 255); });
    if (this.map) this.paintMap(context, plane);
    const { reference, prediction } = this.volumes;
    const colorOf = (value) => this.settings.classes[value - 1].color;
    if (this.isOn("prediction")) {
      this.paint(context, plane, false, (at, put) => prediction[at] && put(...colorOf(prediction[at]), 255 * FILL));
    }
    if (this.isOn("differences")) {
      const colors = this.settings.differences.map(({ color }) => color); // missed, invented, wrong class
      this.paint(context, plane, false, (at, put) => {
        if (reference[at] === prediction[at]) return;
        put(...colors[!prediction[at] ? 0 : !reference[at] ? 1 : 2], 190);
      });
    }
    if (this.isOn("reference")) this.outline(context, plane, reference, colorOf);
    if (this.isOn("cross") && !this.isFlat) this.drawCross(context, plane);
    if (!this.isFlat) this.drawMarks(context, plane);
    slider.value = index;
    const size = this.shown.shape[plane.through];
    text.textContent = `${plane.name} ${index + 1}/${size}`;
    canvas.setAttribute("aria-label", `${plane.name} plane, slice ${index + 1} of ${size}. Arrow keys change the slice.`);
  }

  // Paint a slice voxel by voxel: `color(position in the volume, put)` calls put(red, green, blue, opacity) or not.
  paint(context, plane, isSmooth, color) {
    const [columns, rows] = [this.shown.shape[plane.across], this.shown.shape[plane.up]];
    const slice = new ImageData(columns, rows);
    let pixel = 0;
    const { data } = slice;
    const put = (red, green, blue, opacity) => {
      data[pixel] = red;
      data[pixel + 1] = green;
      data[pixel + 2] = blue;
      data[pixel + 3] = opacity;
    };
    for (let row = 0; row < rows; row++) {
      let at = this.place[plane.through] * this.strides[plane.through] + (rows - 1 - row) * this.strides[plane.up] + (columns - 1) * this.strides[plane.across];
      for (let column = 0; column < columns; column++, pixel += 4, at -= this.strides[plane.across]) color(at, put);
    }
    this.stretch(context, slice, isSmooth, 0, 0, context.canvas.width, context.canvas.height);
  }

  stretch(context, slice, isSmooth, ...box) {
    const small = element("canvas", { width: slice.width, height: slice.height });
    small.getContext("2d").putImageData(slice, 0, 0);
    context.imageSmoothingEnabled = isSmooth;
    context.imageSmoothingQuality = "high";
    context.drawImage(small, ...box);
  }

  // The lowest and highest coefficient on the colour scale, and their texts.
  scale() {
    const { map, frame } = this;
    const [largest, mean] = [map.largest[frame], map.mean[frame] || 1];
    const round = (value) => (this.settings.isRelative ? `${(value / mean).toPrecision(3)} × mean` : String(Number(value.toPrecision(3))));
    const stretched = byId("viewer-stretch").checked;
    const low = stretched ? this.smallest() : 0;
    const high = stretched || this.settings.isRelative ? largest : 1;
    return { low, high: high > low ? high : low + 1e-6, texts: [round(low), round(high)] };
  }

  cells() {
    const count = this.map.shape.reduce((product, size) => product * size, 1);
    return this.unpacked.get(this.map.blob).subarray(this.frame * count, (this.frame + 1) * count);
  }

  smallest() {
    return (this.cells().reduce((low, value) => Math.min(low, value), 255) / 255) * this.map.largest[this.frame];
  }

  // Index of the cell over the voxel `index` along `axis`; cells may begin before the scan and end behind it.
  cellOver(axis, index) {
    const { cell, offset, shape } = this.map;
    return clamp(Math.floor((index + 0.5 - offset[axis]) / cell[axis]), 0, shape[axis] - 1);
  }

  paintMap(context, plane) {
    const { cell, offset, shape, largest } = this.map;
    const cells = this.cells();
    const { low, high } = this.scale();
    const strides = [shape[1] * shape[2], shape[2], 1];
    const [columns, rows] = [shape[plane.across], shape[plane.up]];
    const slice = new ImageData(columns, rows);
    const base = this.cellOver(plane.through, this.place[plane.through]) * strides[plane.through];
    for (let row = 0, pixel = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, pixel += 4) {
        const at = base + (rows - 1 - row) * strides[plane.up] + (columns - 1 - column) * strides[plane.across];
        const value = (cells[at] / 255) * largest[this.frame];
        const color = 3 * Math.round(255 * clamp((value - low) / (high - low), 0, 1));
        slice.data.set([this.colors[color], this.colors[color + 1], this.colors[color + 2], 255], pixel);
      }
    }
    const { width, height } = context.canvas;
    const [across, up] = [width / this.shown.shape[plane.across], height / this.shown.shape[plane.up]]; // pixels per voxel
    const right = width - offset[plane.across] * across;
    const bottom = height - offset[plane.up] * up;
    const [wide, high_] = [columns * cell[plane.across] * across, rows * cell[plane.up] * up];
    context.globalAlpha = Number(byId("viewer-opacity").value) / 100;
    this.stretch(context, slice, true, right - wide, bottom - high_, wide, high_);
    context.globalAlpha = 1;
  }

  // Draw the edges between each class and its surroundings, along the sides of the voxels.
  outline(context, plane, labels, colorOf) {
    const [columns, rows] = [this.shown.shape[plane.across], this.shown.shape[plane.up]];
    const base = this.place[plane.through] * this.strides[plane.through];
    const labelAt = (column, row) => (column < 0 || row < 0 || column >= columns || row >= rows ? 0 : labels[base + (columns - 1 - column) * this.strides[plane.across] + (rows - 1 - row) * this.strides[plane.up]]);
    const [wide, high] = [context.canvas.width / columns, context.canvas.height / rows];
    const paths = new Map();
    const add = (value, x, y, toX, toY) => {
      if (!paths.has(value)) paths.set(value, new Path2D());
      paths.get(value).moveTo(x * wide, y * high);
      paths.get(value).lineTo(toX * wide, toY * high);
    };
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const value = labelAt(column, row);
        if (!value) continue;
        if (labelAt(column - 1, row) !== value) add(value, column, row, column, row + 1);
        if (labelAt(column + 1, row) !== value) add(value, column + 1, row, column + 1, row + 1);
        if (labelAt(column, row - 1) !== value) add(value, column, row, column + 1, row);
        if (labelAt(column, row + 1) !== value) add(value, column, row + 1, column + 1, row + 1);
      }
    }
    context.lineCap = "round";
    for (const [width, isRim] of [[3.2, true], [1.6, false]]) {
      for (const [value, path] of paths) {
        context.lineWidth = width * devicePixelRatio;
        context.strokeStyle = isRim ? "rgb(0 0 0 / 0.5)" : `rgb(${colorOf(value).join(" ")})`;
        context.stroke(path);
      }
    }
  }

  drawCross(context, plane) {
    const { width, height } = context.canvas;
    const x = width * (1 - (this.place[plane.across] + 0.5) / this.shown.shape[plane.across]);
    const y = height * (1 - (this.place[plane.up] + 0.5) / this.shown.shape[plane.up]);
    context.lineWidth = devicePixelRatio;
    context.strokeStyle = "rgb(255 255 255 / 0.45)";
    const gap = 8 * devicePixelRatio; // leaves the place itself visible
    context.beginPath();
    for (const [x0, y0, x1, y1] of [[0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height]]) {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
    context.stroke();
  }

  // The letters of the patient's sides, and a bar of a round number of mm.
  drawMarks(context, plane) {
    const { width, height } = context.canvas;
    const size = 12 * devicePixelRatio;
    const places = [[size, height / 2], [width - size, height / 2], [width / 2, size], [width / 2, height - size]];
    context.font = `bold ${size}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const write = (text, x, y) => {
      context.lineWidth = 3 * devicePixelRatio;
      context.strokeStyle = "rgb(0 0 0 / 0.6)";
      context.strokeText(text, x, y);
      context.fillStyle = "white";
      context.fillText(text, x, y);
    };
    plane.letters.forEach((letter, side) => write(letter, ...places[side]));
    const extent = this.shown.shape[plane.across] * this.shown.spacing[plane.across];
    const mm = [1, 2, 5, 10, 20, 50, 100].findLast((length) => length <= extent / 3.5) ?? 1;
    const long = (mm / extent) * width;
    context.fillStyle = "white";
    context.fillRect(size / 2, height - size / 2, long, 2 * devicePixelRatio);
    context.font = `${0.85 * size}px system-ui, sans-serif`;
    write(`${mm} mm`, size / 2 + Math.max(long / 2, 1.6 * size), height - 1.2 * size);
  }

  describeScale() {
    const texts = this.map ? this.scale().texts : ["", ""];
    [byId("viewer-low").textContent, byId("viewer-high").textContent] = texts;
    byId("viewer-bar").style.visibility = this.map ? "visible" : "hidden";
  }

  describePlace() {
    const { reference, prediction } = this.volumes;
    const at = this.place.reduce((sum, index, axis) => sum + index * this.strides[axis], 0);
    const nameOf = (value) => (value ? this.settings.classes[value - 1].name : "background");
    const parts = [`voxel ${this.place.join(", ")}`, `reference: ${nameOf(reference[at])}`];
    if (prediction) parts.push(`prediction: ${nameOf(prediction[at])}`);
    if (this.map) {
      const [first, second, third] = this.place.map((index, axis) => this.cellOver(axis, index));
      const value = (this.cells()[(first * this.map.shape[1] + second) * this.map.shape[2] + third] / 255) * this.map.largest[this.frame];
      parts.push(`${this.map.name}: ${value.toPrecision(3)}`);
    }
    byId("viewer-place").textContent = parts.join(" · ");
  }

  makeLegend() {
    const swatch = (color, text, className) => {
      const mark = element("i", { className });
      mark.style.background = mark.style.borderColor = `rgb(${color.join(" ")})`;
      return element("span", {}, mark, text);
    };
    const { classes, differences } = this.settings;
    byId("viewer-legend").append(
      element("span", { textContent: "outline: reference, filled: prediction" }),
      ...classes.map(({ color, name }) => swatch(color, name, "swatch")),
      ...differences.map(({ color, name }) => swatch(color, name, "swatch")),
    );
    const stops = Array.from({ length: 9 }, (_, step) => `rgb(${this.colors.slice(3 * Math.round(step * 31.875), 3 * Math.round(step * 31.875) + 3).join(" ")})`);
    byId("viewer-bar").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  }
}

if ("DecompressionStream" in window) {
  const viewer = new Viewer(JSON.parse(byId("viewer-settings").textContent));
  byId("viewer").hidden = false;
  viewer.open(0).then(() => { byId("viewer").dataset.ready = "true"; });
} else {
  byId("viewer-fault").hidden = false;
}
