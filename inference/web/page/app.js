// The page's state, and what is done to it: showing a frame, saving a stroke, propagating.
import { Refused, act, put } from "./api.js";
import { encodeIds, masks, pictures } from "./frames.js";
import { Painter } from "./painter.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";
import { View } from "./view.js";

export const $ = (id) => document.getElementById(id);

export const app = {
  state: null, session: null, frame: 0, wanted: 0, saving: 0, chain: Promise.resolve(),
  view: new View($("picture"), $("pointer")), painter: new Painter(),
  changed() {}, // draws what shows the state, once it is there
};
app.timeline = new Timeline($("timeline"), (frame) => { stopFollowing(); go(frame); });
app.player = new Player(app, (frame) => go(frame));

export function say(text) {
  const line = document.createElement("div");
  line.textContent = text;
  $("messages").append(line);
  setTimeout(() => line.remove(), 3000 + 40 * text.length);
}

// Run something that talks to the server; what it refuses becomes a message.
export async function attempt(work) {
  try { return await work(); } catch (error) {
    if (error.name !== "AbortError") say(error instanceof Refused ? error.message : `The server can't be reached (${error.message}).`);
    return undefined;
  }
}

export function stopFollowing() { if (app.running) $("follow").checked = false; }

// Show a frame: the newest wish wins, the picture before stays until this one is there.
export async function go(frame) {
  if (!app.session) return;
  app.wanted = Math.min(Math.max(0, frame), app.session.frames - 1);
  app.timeline.frame = app.wanted; app.timeline.draw();
  if (document.activeElement !== $("frame")) $("frame").value = app.wanted;
  if (app.loading) return;
  app.loading = true;
  try {
    while (app.wanted !== app.frame || !app.painter.document) {
      const next = app.wanted;
      if (!(await load(next))) break;
    }
  } finally { app.loading = false; }
  app.changed();
}

async function load(frame) {
  if (app.painter.before) return false; // a stroke is being drawn
  await app.chain; // what is painted there is on the server
  const session = app.session;
  const both = await attempt(() => Promise.all([pictures.get(frame), masks.get(frame)]));
  if (!both || session?.key !== app.session?.key) return false;
  if (app.painter.before) return false;
  const given = app.session.given[frame];
  app.frame = frame;
  app.painter.corners = [];
  const [height, width] = app.session.size;
  app.painter.document = {
    frame, width, height, ids: both[1].slice(), touched: new Set(given?.objects ?? []), version: given?.version ?? 0,
  };
  app.view.setSize(width, height);
  app.view.show(both[0], app.painter.document.ids);
  app.changed();
  return true;
}

export async function reload() {
  masks.forget(app.frame);
  if (app.painter.before || app.loading) return;
  app.painter.document = null;
  await go(app.wanted);
}

// Send what is painted on the open frame; later ones wait for earlier ones.
export function save() {
  const { document: open } = app.painter, began = performance.now(), ids = open.ids.slice(), touched = [...open.touched];
  app.saving += 1;
  app.changed();
  app.chain = app.chain.then(async () => {
    const about = new Uint8Array(256);
    for (const id of touched) about[id] = id;
    const given = ids.map((id) => about[id]);
    try {
      const blob = await encodeIds(given, open.width, open.height);
      const reply = await put(`given/${open.frame}?objects=${touched.join(",")}&version=${open.version}`, blob);
      open.version = reply.version;
      masks.put(open.frame, ids);
      performance.measure("stroke saved", { start: began, end: performance.now() });
    } catch (error) {
      app.painter.forget(open.frame);
      say(error instanceof Refused ? error.message : "The server can't be reached: this stroke is not saved.");
      app.saving -= 1;
      if (error.status === 409) { masks.forget(open.frame); if (app.frame === open.frame) setTimeout(reload); }
      return;
    }
    app.saving -= 1;
    app.changed();
  });
}

export async function turn(back) {
  const step = (back ? app.painter.done : app.painter.undone).at(-1);
  if (!step || app.painter.before) return;
  if (step.frame !== app.frame) { await go(step.frame); if (app.frame !== step.frame) return; }
  app.view.paint(app.painter.turn(back));
  save();
}

export function propagate(direction) {
  return attempt(async () => {
    await app.chain;
    $("follow").checked = true;
    await act("propagate", { direction, frame: app.frame });
  });
}
