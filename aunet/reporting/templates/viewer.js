"use strict";
// The controls of the viewer: case, layers, attention, epochs and slices, by mouse, keyboard and sliders.

const LAYERS = ["image", "reference", "prediction", "differences", "cross"];
const PAGE = 10; // slices per page key
const FRAME_MS = 350;

async function unpack(id) {
  const stream = new Blob([bytesOfText(byId(id).textContent)]).stream();
  return new Uint8Array(await new Response(stream.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
}

class Viewer extends PlaneDrawing {
  constructor(settings) {
    super(settings);
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
    this.wanted = number;
    byId("viewer-place").textContent = "Unpacking …";
    for (const name of [...Object.values(shown.volumes), ...shown.maps.map((map) => map.blob)]) {
      if (!this.unpacked.has(name)) this.unpacked.set(name, await unpack(name));
    }
    if (this.wanted !== number) return; // another case was chosen meanwhile
    const mapName = this.map?.name;
    this.shown = shown;
    this.place = [...shown.start];
    this.strides = [shown.shape[1] * shown.shape[2], shown.shape[2], 1];
    this.isFlat = shown.shape[2] === 1;
    byId("viewer-volume-help").hidden = this.isFlat;
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
    if (this.map && this.place.every((index, axis) => this.covers(axis, index))) {
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
