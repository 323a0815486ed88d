// Pointer and wheel on the picture, and the keys.
import { act } from "./api.js";
import { $, app, attempt, go, propagate, save, say, stopFollowing, turn } from "./app.js";
import { addObject, chooseTool, renderPanels } from "./panels.js";

let last = null, panning = null;

export function bindStage() {
  const stage = $("stage");
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    app.view.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), event);
    showPointer(event);
  }, { passive: false });
  stage.addEventListener("pointerdown", press);
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  stage.addEventListener("pointerleave", () => { if (!last) app.view.drawPointer(null); });
  stage.addEventListener("dblclick", () => { if (app.painter.tool === "polygon") closePolygon(); });
  document.addEventListener("keydown", key);
}

function colour() { return app.session?.objects.find((o) => o.id === app.painter.object)?.colour ?? "#fff"; }

function showPointer(event) {
  const { painter, view } = app, at = view.toImage(event);
  const paints = painter.tool === "brush" || painter.tool === "eraser";
  $("stage").style.cursor = painter.tool === "hand" || panning ? "grab" : paints ? "none" : "crosshair";
  if (paints) view.drawPointer({ at, radius: Math.max(0.7, painter.radius), colour: painter.tool === "eraser" ? "#fff" : colour() });
  else view.drawPointer({ at, corners: painter.corners, colour: colour() });
}

function mayPaint() {
  const { painter, session } = app;
  if (!painter.document || app.loading) return false;
  const chosen = session.objects.find((object) => object.id === painter.object);
  if (!chosen) { say("Add an object first: press N."); return false; }
  if (!chosen.visible) { say(`${chosen.name} is hidden: show it before you paint it.`); return false; }
  return true;
}

function press(event) {
  if (!app.session) return;
  app.player.stop();
  document.activeElement?.blur();
  $("stage").setPointerCapture(event.pointerId);
  const { painter, view } = app;
  if (event.button !== 0 || painter.tool === "hand") { panning = [event.clientX, event.clientY]; return; }
  stopFollowing();
  if (!mayPaint()) return;
  const at = view.toImage(event);
  if (painter.tool === "polygon") {
    const [first] = painter.corners, near = 8 * window.devicePixelRatio / view.scale;
    if (painter.corners.length > 2 && Math.hypot(first[0] - at[0], first[1] - at[1]) < near) closePolygon();
    else painter.corners.push(at);
    showPointer(event);
  } else if (painter.tool === "fill") {
    const { width, height } = painter.document;
    if (at[0] < 0 || at[1] < 0 || at[0] >= width || at[1] >= height) return;
    painter.begin();
    const part = painter.fill(at);
    if (!part) { painter.before = null; say("This area reaches the border: close the outline first."); return; }
    finish();
  } else {
    painter.begin();
    last = at;
    view.paint(painter.stroke(at, at));
  }
}

function move(event) {
  if (!app.session) return;
  if (panning) {
    app.view.pan(event.clientX - panning[0], event.clientY - panning[1]);
    panning = [event.clientX, event.clientY];
    return;
  }
  if (last) {
    let part = [Infinity, Infinity, -Infinity, -Infinity];
    for (const one of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
      const at = app.view.toImage(one), touched = app.painter.stroke(last, at);
      part = [Math.min(part[0], touched[0]), Math.min(part[1], touched[1]), Math.max(part[2], touched[2]), Math.max(part[3], touched[3])];
      last = at;
    }
    app.view.paint(part);
  }
  showPointer(event);
}

function release(event) {
  panning = null;
  if (last) { last = null; finish(); }
  showPointer(event);
}

function closePolygon() {
  const corners = app.painter.corners;
  app.painter.corners = [];
  app.view.drawPointer(null);
  if (corners.length < 3 || !mayPaint()) return;
  app.painter.begin();
  app.painter.polygon(corners);
  finish();
}

function finish() {
  const part = app.painter.part, changed = app.painter.end();
  app.view.paint(part);
  if (changed) save();
}

const tools = { b: "brush", e: "eraser", p: "polygon", f: "fill", h: "hand" };

function key(event) {
  const typing = event.target.matches?.("input[type=text], select");
  if (typing || $("shortcuts").open || !app.session) return;
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key, control = event.ctrlKey || event.metaKey;
  const done = control ? withControl(name, event) : plain(name, event);
  if (done) event.preventDefault();
}

function withControl(name, event) {
  if (name === "z") turn(!event.shiftKey);
  else if (name === "y") turn(false);
  else if (name === "Enter") propagate("forward");
  else return false;
  return true;
}

function plain(name, event) {
  const { painter, session } = app, step = event.shiftKey ? 10 : 1;
  const jump = (frame) => { app.player.stop(); stopFollowing(); go(frame); };
  const painted = Object.keys(session.given).map(Number).sort((a, b) => a - b);
  if (event.altKey) return false;
  if (tools[name]) chooseTool(tools[name]);
  else if (name >= "1" && name <= "9") {
    const chosen = session.objects[Number(name) - 1];
    if (chosen) painter.object = chosen.id;
    renderPanels();
  } else if (name === "n") addObject();
  else if (name === "[" || name === "]") {
    $("brush").value = Math.round(painter.size * (name === "]" ? 1.25 : 0.8) + (name === "]" ? 1 : -1));
    $("brush").dispatchEvent(new Event("input"));
  } else if (name === "Enter") closePolygon();
  else if (name === "Escape") {
    if (painter.corners.length) { painter.corners = []; app.view.drawPointer(null); } else if (app.running) attempt(() => act("stop"));
  } else if (name === "ArrowLeft") jump(app.wanted - step);
  else if (name === "ArrowRight") jump(app.wanted + step);
  else if (name === "Home") jump(0);
  else if (name === "End") jump(session.frames - 1);
  else if (name === ",") jump(painted.filter((frame) => frame < app.wanted).at(-1) ?? app.wanted);
  else if (name === ".") jump(painted.find((frame) => frame > app.wanted) ?? app.wanted);
  else if (name === " ") app.player.toggle();
  else if (name === "0") app.view.fit();
  else if (name === "c") $("contours").click();
  else if (name === "m") $("only-mask").click();
  else if (name === "?") $("shortcuts").showModal();
  else return false;
  return true;
}
