// Tools that change the ids of a frame, and their undoing. Knows nothing of the server.

const LARGEST_HISTORY = 128 * 2 ** 20; // bytes

export class Painter {
  constructor() {
    this.tool = "brush"; this.size = 14; this.object = 0;
    this.done = []; this.undone = [];
    this.document = null; // {frame, ids, touched: Set, version, width, height}
    this.corners = [];
  }

  get radius() { return this.size / 2; }

  begin() {
    const { ids, touched } = this.document;
    this.before = ids.slice(); this.touchedBefore = new Set(touched);
    this.part = [Infinity, Infinity, -Infinity, -Infinity];
  }

  grow(left, top, right, bottom) {
    const { width, height } = this.document;
    const part = [Math.max(0, Math.floor(left)), Math.max(0, Math.floor(top)),
      Math.min(width, Math.ceil(right)), Math.min(height, Math.ceil(bottom))];
    this.part = [Math.min(this.part[0], part[0]), Math.min(this.part[1], part[1]),
      Math.max(this.part[2], part[2]), Math.max(this.part[3], part[3])];
    return part;
  }

  put(index) {
    const { ids } = this.document;
    if (this.tool !== "eraser") ids[index] = this.object;
    else if (ids[index] === this.object) ids[index] = 0;
  }

  // A line as wide as the brush, from one point of the picture to another; returns what it touched.
  stroke([x0, y0], [x1, y1]) {
    const { width } = this.document, radius = this.radius;
    const part = this.grow(Math.min(x0, x1) - radius - 1, Math.min(y0, y1) - radius - 1,
      Math.max(x0, x1) + radius + 1, Math.max(y0, y1) + radius + 1);
    const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy, reach = Math.max(radius, 0.71) ** 2;
    for (let y = part[1]; y < part[3]; y++) {
      for (let x = part[0]; x < part[2]; x++) {
        const px = x + 0.5 - x0, py = y + 0.5 - y0;
        const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        const ex = px - t * dx, ey = py - t * dy;
        if (ex * ex + ey * ey <= reach) this.put(y * width + x);
      }
    }
    return part;
  }

  polygon(corners) {
    const { width, height } = this.document;
    const xs = corners.map((c) => c[0]), ys = corners.map((c) => c[1]);
    const part = this.grow(Math.min(...xs), Math.min(...ys), Math.max(...xs) + 1, Math.max(...ys) + 1);
    // A pixel belongs to it if its centre lies inside (even-odd along its row).
    for (let y = part[1]; y < Math.min(part[3], height); y++) {
      const crossings = [];
      for (let i = 0; i < corners.length; i++) {
        const [ax, ay] = corners[i], [bx, by] = corners[(i + 1) % corners.length];
        if ((ay <= y + 0.5) !== (by <= y + 0.5)) crossings.push(ax + (y + 0.5 - ay) * (bx - ax) / (by - ay));
      }
      crossings.sort((a, b) => a - b);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        const from = Math.max(0, Math.ceil(crossings[i] - 0.5)), to = Math.min(width - 1, Math.ceil(crossings[i + 1] - 0.5) - 1);
        for (let x = from; x <= to; x++) this.put(y * width + x);
      }
    }
    return part;
  }

  // The area of one id around a point; null if it is background that reaches the picture's border.
  fill([px, py]) {
    const { ids, width, height } = this.document;
    const start = Math.floor(py) * width + Math.floor(px), id = ids[start];
    if (id === this.object) return [0, 0, 0, 0];
    const seen = new Uint8Array(ids.length), todo = [start], found = [];
    seen[start] = 1;
    while (todo.length) {
      const index = todo.pop(), x = index % width, y = (index - x) / width;
      found.push(index);
      if (id === 0 && (x === 0 || y === 0 || x === width - 1 || y === height - 1)) return null;
      for (const next of [x > 0 ? index - 1 : -1, x < width - 1 ? index + 1 : -1, index - width, index + width]) {
        if (next >= 0 && next < ids.length && !seen[next] && ids[next] === id) { seen[next] = 1; todo.push(next); }
      }
    }
    for (const index of found) ids[index] = this.object;
    return this.grow(0, 0, width, height);
  }

  // Close a change; returns whether anything is different.
  end() {
    const { frame, ids, touched, width } = this.document;
    const before = this.before;
    this.before = null;
    const [left, top, right, bottom] = this.part;
    if (right <= left || bottom <= top) return false;
    touched.add(this.object);
    const cut = (source) => {
      const rows = new Uint8Array((right - left) * (bottom - top));
      for (let y = top; y < bottom; y++) rows.set(source.subarray(y * width + left, y * width + right), (y - top) * (right - left));
      return rows;
    };
    const old = cut(before), now = cut(ids);
    if (this.touchedBefore.has(this.object) && old.every((value, i) => value === now[i])) return false;
    this.done.push({ frame, part: this.part, old, now, touchedOld: this.touchedBefore, touchedNow: new Set(touched) });
    this.undone = [];
    let bytes = this.done.reduce((sum, step) => sum + 2 * step.old.length, 0);
    while (bytes > LARGEST_HISTORY && this.done.length > 1) bytes -= 2 * this.done.shift().old.length;
    return true;
  }

  // Go a step back or forth in the open document; returns the part that changed.
  turn(back) {
    const step = (back ? this.done : this.undone).pop();
    (back ? this.undone : this.done).push(step);
    const [left, top, right, bottom] = step.part, { ids, width } = this.document, rows = back ? step.old : step.now;
    for (let y = top; y < bottom; y++) {
      ids.set(rows.subarray((y - top) * (right - left), (y - top + 1) * (right - left)), y * width + left);
    }
    this.document.touched = new Set(back ? step.touchedOld : step.touchedNow);
    return step.part;
  }

  forget(frame = null) {
    const stays = (step) => frame !== null && step.frame !== frame;
    this.done = this.done.filter(stays); this.undone = this.undone.filter(stays);
  }
}
