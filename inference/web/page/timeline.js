// What is done, painted and corrected, over all frames.

const STYLE = { 0: "#2a2d31", 1: "#3f9387", 2: "#3f9387", 3: "#4a5a58", 4: "#4a5a58" };

export class Timeline {
  constructor(canvas, go) {
    this.canvas = canvas; this.context = canvas.getContext("2d");
    this.status = ""; this.given = {}; this.frame = 0; this.head = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    const scrub = (event) => {
      const box = canvas.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      go(Math.min(this.status.length - 1, Math.max(0, Math.floor(share * this.status.length))));
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); scrub(event); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) scrub(event); });
  }

  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => { this.drawing = 0; this.drawNow(); });
  }

  drawNow() {
    const { canvas, context, status } = this, count = status.length;
    const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio * box.height / 32; // of a large font, too
    const width = Math.round(box.width * window.devicePixelRatio), height = Math.round(box.height * window.devicePixelRatio);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    context.clearRect(0, 0, width, height);
    if (!count) return;
    const at = (frame) => Math.round(frame * width / count);
    const top = Math.round(height * 0.3), bottom = Math.round(height * 0.86);
    for (let begin = 0; begin < count;) {
      let end = begin + 1;
      while (end < count && STYLE[status[end]] === STYLE[status[begin]]) end++;
      context.fillStyle = STYLE[status[begin]];
      context.fillRect(at(begin), top, Math.max(1, at(end) - at(begin)), bottom - top);
      begin = end;
    }
    if (width / count > 6 * ratio) {
      context.fillStyle = "#1c1e21";
      for (let frame = 1; frame < count; frame++) context.fillRect(at(frame), top, 1, bottom - top);
    }
    const middle = (frame) => (frame + 0.5) * width / count;
    if (this.head !== null) {
      context.fillStyle = "#5cc8b8";
      context.fillRect(middle(this.head) - ratio, top - 3 * ratio, 2 * ratio, bottom - top + 6 * ratio);
    }
    const x = middle(this.frame);
    context.fillStyle = "#f2f3f5";
    context.fillRect(Math.round(x - ratio), 0, Math.round(2 * ratio), height);
    context.beginPath();
    context.moveTo(x - 5 * ratio, 0); context.lineTo(x + 5 * ratio, 0); context.lineTo(x, 7 * ratio);
    context.fill();
    for (const [frame, { corrected }] of Object.entries(this.given)) {
      context.fillStyle = corrected ? "#ffb35c" : "#ffffff";
      context.beginPath();
      context.arc(middle(Number(frame)), (top + bottom) / 2, 3.6 * ratio, 0, 2 * Math.PI);
      context.fill();
      context.strokeStyle = "#141517"; context.lineWidth = ratio; context.stroke();
    }
  }
}
