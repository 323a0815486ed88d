// Plays the film at its own rate, with the frames ahead fetched in time; a slow network slows it down, nothing is left out
// for longer than a frame takes.
import { masks, pictures } from "./frames.js";

const AHEAD = 12;

export class Player {
  constructor(app, go) { this.app = app; this.go = go; this.playing = false; }

  toggle() { if (this.playing) this.stop(); else this.start(); }

  start() {
    const { session } = this.app;
    if (!session || session.frames < 2) return;
    this.playing = true;
    this.from = this.app.frame >= session.frames - 1 ? 0 : this.app.frame;
    this.began = performance.now();
    this.tick();
    this.app.changed();
  }

  stop() { this.playing = false; this.app.changed(); }

  tick() {
    if (!this.playing) return;
    const { session } = this.app;
    if (!session) return this.stop();
    const due = this.from + Math.floor((performance.now() - this.began) * session.fps / 1000);
    const frame = Math.min(due, session.frames - 1);
    for (let ahead = frame; ahead <= Math.min(frame + AHEAD, session.frames - 1); ahead++) {
      pictures.get(ahead).catch(() => {}); masks.get(ahead).catch(() => {});
    }
    if (pictures.has(frame) && masks.has(frame)) {
      if (frame !== this.app.frame) this.go(frame);
    } else { // wait for it, and let the clock wait, too
      this.from = this.app.frame;
      this.began = performance.now();
    }
    if (frame >= session.frames - 1 && this.app.frame === frame) return this.stop();
    requestAnimationFrame(() => this.tick());
  }
}
