// Joins the page's parts: state from the server, the frame that is shown, saving, keys.
import { Refused, act, get, listen, put } from "./api.js";
import { encodeIds, masks, pictures } from "./frames.js";
import { Painter } from "./painter.js";
import { bindPanels, renderPanels } from "./panels.js";
import { Player } from "./player.js";
import { bindStage } from "./stage.js";
import { bindStart, renderStart } from "./start.js";
import { Timeline } from "./timeline.js";
import { View } from "./view.js";

export const $ = (id) => document.getElementById(id);

export const app = {
  state: null, session: null, frame: 0, wanted: 0, saving: 0, chain: Promise.resolve(),
  view: new View($("picture"), $("pointer")), painter: new Painter(),
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
  renderPanels();
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
  renderPanels();
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
  renderPanels();
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
    renderPanels();
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

function takeState(state) {
  const before = app.session, opened = state.session;
  app.state = state;
  if (opened) opened.key = `${opened.name} ${opened.frames} ${opened.size}`;
  app.session = opened;
  takeWorker(state.worker);
  $("start").hidden = opened !== null;
  if (!opened) { renderStart(); forgetAll(); return; }
  if (before?.key !== opened.key) {
    forgetAll();
    app.painter.object = opened.objects[0]?.id ?? 0;
    const first = Object.keys(opened.given).map(Number).sort((a, b) => a - b)[0] ?? 0;
    app.wanted = first;
    app.view.setColours(opened.objects);
    go(first);
  } else {
    const ids = opened.objects.map((object) => object.id);
    if (before.objects.some((object) => !ids.includes(object.id))) { masks.clear(); app.painter.forget(); reload(); }
    if (!ids.includes(app.painter.object)) app.painter.object = ids[0] ?? 0;
    if (JSON.stringify(before.objects) !== JSON.stringify(opened.objects)) app.view.setColours(opened.objects);
    for (const frame of new Set([...Object.keys(before.given), ...Object.keys(opened.given)])) {
      const version = opened.given[frame]?.version ?? 0;
      if ((before.given[frame]?.version ?? 0) === version) continue;
      if (Number(frame) !== app.frame) masks.forget(Number(frame));
      // Another tab has painted here, unless it is a stroke of ours that is on its way.
      else if (!app.saving && version !== app.painter.document?.version) { app.painter.forget(app.frame); reload(); }
    }
  }
  app.timeline.status = opened.status; app.timeline.given = opened.given; app.timeline.draw();
  renderPanels();
}

function forgetAll() {
  pictures.clear(); masks.clear(); app.painter.forget(); app.painter.document = null;
  app.view.show(null, null); app.frame = 0; app.player.stop();
}

function takeWorker(worker) {
  const ran = app.running;
  app.worker = worker;
  app.running = worker.phase === "running";
  app.timeline.head = app.running ? worker.frame : null;
  if (app.running && worker.status && app.session) {
    const status = app.session.status;
    app.session.status = status.slice(0, worker.frame) + worker.status + status.slice(worker.frame + 1);
    app.timeline.status = app.session.status;
    masks.forget(worker.frame);
    if (worker.frame === app.frame && worker.frame === app.wanted) { if (!app.saving) reload(); }
    else if ($("follow").checked && !app.player.playing) go(worker.frame);
  }
  if (ran && !app.running && worker.message) say(worker.message);
  else if (!app.running && worker.message && worker !== app.told) say(worker.message);
  app.told = worker;
  app.timeline.draw();
  renderPanels();
}

async function refresh() {
  const state = await attempt(async () => (await get("state")).json());
  if (state) takeState(state);
}

bindStage(app); bindPanels(app); bindStart(app);
listen({
  open: () => { document.body.classList.remove("lost"); refresh(); },
  lost: () => { document.body.classList.add("lost"); renderPanels(); },
  refresh,
  state: (message) => takeState(message.state),
  worker: (message) => { if (app.state) takeWorker(message.worker); },
  export: (message) => {
    app.exporting = message.share < 1 ? message : null;
    if (message.error) say(message.error);
    if (message.file && app.asked === message.kind) {
      app.asked = null;
      const link = document.createElement("a");
      link.href = `download/${message.kind}`; link.download = "";
      link.click();
    }
    renderPanels();
  },
  closed: () => say("The server was stopped."),
});
window.corrvos = app; // for a look from the console
