"use strict";
// Drawing of a scan's planes on canvas, with label maps and attention over it. Arrays run to the patient's right
// (axis 0), front (axis 1) and head (axis 2), the last axis fastest; each plane shows its axis `across` from high to
// low, which puts right (or front) on the left as in the pictures. Places and cell sizes are voxels of the scan shown.

const PLANES = [
  { name: "axial", through: 2, across: 0, up: 1, letters: ["R", "L", "A", "P"] },
  { name: "coronal", through: 1, across: 0, up: 2, letters: ["R", "L", "S", "I"] },
  { name: "sagittal", through: 0, across: 1, up: 2, letters: ["A", "P", "S", "I"] },
];
const FILL = 0.45; // opacity of the prediction

const byId = (id) => document.getElementById(id);
const bytesOfText = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

class PlaneDrawing {
  // `settings` holds classes, differences, colours (see section.py); the other fields are set by the viewer: the case
  // `shown`, its `volumes` and `strides`, the `place` of the cross, the `map` of attention or null, and its `frame`.
  constructor(settings) {
    this.settings = settings;
    this.colors = bytesOfText(settings.colors);
    this.unpacked = new Map();
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
      const colors = this.settings.differences.map(({ color }) => color); // false negative, false positive, wrong class
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
    context.imageSmoothingQuality = "medium"; // linear; "high" overshoots, which adds colours that no cell has
    context.drawImage(small, ...box);
  }

  // The lowest and highest coefficient on the colour scale, and their texts.
  scale() {
    const { map, frame } = this;
    const [largest, mean] = [map.largest[frame], map.mean[frame] || 1];
    const round = (value) => (this.shown.areRelative ? `${(value / mean).toPrecision(3)} × mean` : String(Number(value.toPrecision(3))));
    const stretched = byId("viewer-stretch").checked;
    const low = stretched ? this.smallest() : 0;
    const high = stretched || this.shown.areRelative ? largest : 1;
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

  // Whether the map covers the voxel `index` along `axis`, which that of a cropped scan may not. Half a cell is rounding.
  covers(axis, index) {
    const { cell, offset, shape } = this.map;
    const place = (index + 0.5 - offset[axis]) / cell[axis];
    return place >= -0.5 && place <= shape[axis] + 0.5;
  }

  paintMap(context, plane) {
    if (!this.covers(plane.through, this.place[plane.through])) return;
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
}
