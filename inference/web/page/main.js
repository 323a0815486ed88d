// Joins the page's parts: what the server says goes to the state, and from there to panels and picture.
import { get, listen } from "./api.js";
import { $, app, attempt, go, reload, say } from "./app.js";
import { masks, pictures } from "./frames.js";
import { bindPanels, renderPanels } from "./panels.js";
import { bindStage } from "./stage.js";
import { bindStart, renderStart } from "./start.js";

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

bindStage(); bindPanels(); bindStart();
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
