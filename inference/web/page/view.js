// The picture with its masks: zoom, colours, contours, and the pointer above.

export class View {
  constructor(picture, pointer) {
    this.canvas = picture; this.top = pointer;
    this.context = picture.getContext("2d"); this.above = pointer.getContext("2d");
    this.layer = document.createElement("canvas").getContext("2d");
    this.width = 0; this.height = 0; this.scale = 1; this.x = 0; this.y = 0; this.fitted = true;
    this.bitmap = null; this.ids = null; this.colours = new Uint32Array(256);
    this.options = { opacity: 0.45, contours: true, onlyMask: false };
    new ResizeObserver(() => this.resize()).observe(picture.parentElement);
  }

  resize() {
    const box = this.canvas.parentElement.getBoundingClientRect(), ratio = window.devicePixelRatio;
    for (const canvas of [this.canvas, this.top]) {
      canvas.width = Math.round(box.width * ratio); canvas.height = Math.round(box.height * ratio);
    }
    if (this.fitted) this.fit(); else this.draw();
  }

  // Film's size; the picture may be smaller than the film.
  setSize(width, height) {
    if (width === this.width && height === this.height) return;
    this.width = width; this.height = height;
    this.layer.canvas.width = width; this.layer.canvas.height = height;
    this.pixels = this.layer.createImageData(width, height);
    this.values = new Uint32Array(this.pixels.data.buffer);
    this.fit();
  }

  fit() {
    if (!this.width) return;
    const margin = 12 * window.devicePixelRatio;
    this.scale = Math.max(0.01, Math.min(
      (this.canvas.width - margin) / this.width, (this.canvas.height - margin) / this.height));
    this.x = (this.canvas.width - this.width * this.scale) / 2;
    this.y = (this.canvas.height - this.height * this.scale) / 2;
    this.fitted = true;
    this.draw();
  }

  zoom(factor, event) {
    const [px, py] = this.place(event);
    const fit = Math.min(this.canvas.width / this.width, this.canvas.height / this.height);
    const scale = Math.min(Math.max(this.scale * factor, fit * 0.5), Math.max(40, fit * 4));
    this.x = px - (px - this.x) * scale / this.scale;
    this.y = py - (py - this.y) * scale / this.scale;
    this.scale = scale; this.fitted = false;
    this.draw();
  }

  pan(dx, dy) {
    const ratio = window.devicePixelRatio;
    this.x += dx * ratio; this.y += dy * ratio; this.fitted = false;
    this.draw();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect(), ratio = window.devicePixelRatio;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  // Pixels of the film under the pointer.
  toImage(event) {
    const [px, py] = this.place(event);
    return [(px - this.x) / this.scale, (py - this.y) / this.scale];
  }

  setColours(objects) {
    this.colours.fill(0);
    for (const { id, colour, visible } of objects) {
      if (!visible) continue;
      const value = parseInt(colour.slice(1), 16);
      this.colours[id] = ((value & 255) << 16) | (value & 0xff00) | (value >> 16); // little-endian ABGR
    }
    this.visible = new Uint8Array(256);
    for (const { id, visible } of objects) this.visible[id] = visible ? 1 : 0;
    this.paint();
  }

  show(bitmap, ids) {
    this.bitmap = bitmap; this.ids = ids;
    this.paint();
  }

  // Colour a part of the mask anew: [left, top, right, bottom), the whole without one.
  paint(part = null) {
    if (!this.ids || !this.width) { this.draw(); return; }
    const { width, height, ids, values, colours, visible } = this;
    const { opacity, contours, onlyMask } = this.options;
    const reach = Math.max(1, Math.round(Math.min(width, height) / 480));
    const [left, top, right, bottom] = part
      ? [Math.max(0, part[0] - reach), Math.max(0, part[1] - reach),
         Math.min(width, part[2] + reach), Math.min(height, part[3] + reach)] : [0, 0, width, height];
    if (right <= left || bottom <= top) return;
    const inside = (onlyMask ? 255 : Math.round(255 * opacity)) << 24, edge = 0xff000000;
    for (let y = top; y < bottom; y++) {
      const up = Math.max(0, y - reach) * width, down = Math.min(height - 1, y + reach) * width, row = y * width;
      for (let x = left; x < right; x++) {
        const id = ids[row + x];
        if (!visible[id]) { values[row + x] = 0; continue; }
        const outline = contours && (ids[up + x] !== id || ids[down + x] !== id
          || ids[row + Math.max(0, x - reach)] !== id || ids[row + Math.min(width - 1, x + reach)] !== id);
        values[row + x] = colours[id] | (outline ? edge : inside);
      }
    }
    this.layer.putImageData(this.pixels, 0, 0, left, top, right - left, bottom - top);
    this.draw();
  }

  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      const { context, canvas, width, height, scale, x, y } = this;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.fillStyle = "#141517";
      context.fillRect(0, 0, canvas.width, canvas.height);
      if (!this.bitmap || !this.ids) return;
      context.setTransform(scale, 0, 0, scale, x, y);
      context.imageSmoothingEnabled = scale < 4;
      context.imageSmoothingQuality = "high";
      if (this.options.onlyMask) {
        context.fillStyle = "#000"; context.fillRect(0, 0, width, height);
      } else context.drawImage(this.bitmap, 0, 0, width, height);
      context.drawImage(this.layer.canvas, 0, 0);
      this.drawPointer();
    });
  }

  // The brush's circle or the polygon so far.
  drawPointer(sign = this.sign) {
    this.sign = sign;
    const { above, top, scale, x, y } = this;
    above.setTransform(1, 0, 0, 1, 0, 0);
    above.clearRect(0, 0, top.width, top.height);
    if (!sign) return;
    above.setTransform(scale, 0, 0, scale, x, y);
    const line = 1.5 * window.devicePixelRatio / scale;
    const trace = new Path2D();
    if (sign.radius) trace.arc(sign.at[0], sign.at[1], sign.radius, 0, 2 * Math.PI);
    else if (sign.corners.length) {
      trace.moveTo(...sign.corners[0]);
      for (const corner of [...sign.corners.slice(1), sign.at]) trace.lineTo(...corner);
      for (const [cx, cy] of sign.corners) trace.rect(cx - 2 * line, cy - 2 * line, 4 * line, 4 * line);
    }
    for (const [style, size] of [["#000a", 2.4 * line], [sign.colour, line]]) {
      above.strokeStyle = style; above.lineWidth = size; above.stroke(trace);
    }
  }
}
