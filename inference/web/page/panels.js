// Everything around the picture: the list of objects, options, the bar below.
import { act, put } from "./api.js";
import { $, app, attempt, go, propagate, reload, save, stopFollowing, turn } from "./app.js";

const icon = (path) => `<svg viewBox="0 0 24 24"><path d="${path}"/></svg>`;
const EYE = icon("M2 12c5-8 15-8 20 0-5 8-15 8-20 0zM12 9.5a2.5 2.5 0 100 5 2.5 2.5 0 000-5z");
const SHUT = icon("M2 12c5-8 15-8 20 0-5 8-15 8-20 0zM4 20L20 4");
const BIN = icon("M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13");

export function chooseTool(tool) {
  app.painter.tool = tool; app.painter.corners = [];
  app.view.drawPointer(null);
  $("stage").style.cursor = tool === "hand" ? "grab" : "crosshair";
  renderPanels();
}

export function addObject() {
  return attempt(async () => {
    const { id } = await act("add_object");
    app.painter.object = id;
    if (app.painter.tool === "eraser" || app.painter.tool === "hand") chooseTool("brush");
    renderPanels();
  });
}

export function bindPanels() {
  const click = (id, work) => $(id).addEventListener("click", work);
  for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => chooseTool(button.dataset.tool));
  for (const button of document.querySelectorAll("[data-export]")) {
    button.addEventListener("click", () => attempt(async () => {
      app.asked = button.dataset.export;
      await app.chain;
      await act("export", { kind: button.dataset.export });
    }));
  }
  click("undo", () => turn(true));
  click("redo", () => turn(false));
  click("fit", () => app.view.fit());
  click("add", addObject);
  click("help", () => $("shortcuts").showModal());
  click("play", () => app.player.toggle());
  const jump = (frame) => { app.player.stop(); stopFollowing(); go(frame); };
  click("previous", () => jump(app.wanted - 1));
  click("next", () => jump(app.wanted + 1));
  for (const direction of ["forward", "backward", "both"]) click(direction, () => propagate(direction));
  click("stop", () => attempt(() => act("stop")));
  click("clear", () => {
    const open = app.painter.document;
    if (!open?.touched.size) return;
    open.touched.clear();
    app.painter.forget(open.frame);
    open.ids.fill(0);
    save();
    app.chain.then(reload);
  });
  click("import", () => $("mask-file").click());
  $("mask-file").addEventListener("change", () => {
    const [file] = $("mask-file").files;
    if (file) attempt(() => put(`import/${app.frame}?version=${app.painter.document.version}`, file));
    $("mask-file").value = "";
  });
  $("frame").addEventListener("change", () => { jump(parseInt($("frame").value, 10) || 0); $("frame").blur(); });
  $("brush").addEventListener("input", () => { app.painter.size = Number($("brush").value); $("brush-size").value = app.painter.size; });
  $("size").addEventListener("change", () => { attempt(() => act("set_size", { size: Number($("size").value) })); $("size").blur(); });
  const option = (id, take) => $(id).addEventListener("input", () => { take($(id)); app.view.paint(); });
  option("opacity", (input) => { app.view.options.opacity = input.value / 100; });
  option("contours", (input) => { app.view.options.contours = input.checked; });
  option("only-mask", (input) => { app.view.options.onlyMask = input.checked; });
  // Keys belong to the picture, not to the control that was used last.
  document.addEventListener("pointerup", (event) => { if (event.target.matches?.("button, input[type=range], input[type=checkbox]")) event.target.blur(); });
  app.changed = renderPanels;
}

function row(object, place) {
  const item = document.createElement("li");
  item.dataset.id = object.id;
  const change = (changes) => attempt(() => act("change_object", { id: object.id, changes }));
  item.innerHTML = `<span class="key"></span><input class="swatch" type="color" title="Colour"><input type="text" maxlength="60" spellcheck="false">
    <button class="eye"></button><button class="bin" title="Delete the object">${BIN}</button>`;
  const [key, swatch, name, eye, bin] = item.children;
  key.textContent = place < 9 ? place + 1 : "";
  swatch.value = object.colour; name.value = object.name;
  eye.innerHTML = object.visible ? EYE : SHUT;
  eye.title = object.visible ? "Hide" : "Show";
  item.classList.toggle("unseen", !object.visible);
  item.addEventListener("pointerdown", () => { app.painter.object = object.id; markChosen(); });
  swatch.addEventListener("change", () => change({ colour: swatch.value }));
  name.addEventListener("change", () => change({ name: name.value }));
  name.addEventListener("keydown", (event) => { if (event.key === "Enter") name.blur(); });
  eye.addEventListener("click", () => change({ visible: !object.visible }));
  bin.addEventListener("click", () => {
    if (confirm(`Delete ${object.name} from all frames? This can't be undone.`)) attempt(() => act("delete_object", { id: object.id }));
  });
  return item;
}

function markChosen() {
  for (const item of $("objects").children) item.setAttribute("aria-current", Number(item.dataset.id) === app.painter.object);
}

let shownObjects = "";

const text = (id, words) => { if ($(id).textContent !== words) $(id).textContent = words; };

function kindOf(session, frame) {
  const given = session.given[frame];
  if (given) return given.corrected ? "corrected" : "painted";
  return { 0: "not yet segmented", 1: "done", 2: "done", 3: "outdated by a correction", 4: "outdated by a correction" }[session.status[frame]];
}

function hint(session) {
  if (document.body.classList.contains("lost")) return "The server can't be reached; trying again.";
  if (app.worker.phase === "failed") return app.worker.message;
  if (app.running) return "";
  if (!session.objects.length) return "Press N for a new object, then paint it.";
  if (!Object.keys(session.given).length) return "Paint each object on this frame, then propagate.";
  if (!/[12]/.test(session.status)) return "Propagate when every object is painted.";
  if (/[34]/.test(session.status)) return "Propagate to bring the frames after the correction up to date.";
  return "Look for mistakes: paint a correction on any frame, one object alone, and propagate.";
}

function time(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s left` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s left`;
}

export function renderPanels() {
  const { session, worker, painter } = app;
  if (!session || !worker) return;
  text("name", session.name);
  text("facts", `${session.frames} frames, ${session.size[1]}×${session.size[0]}, ${Number(session.fps.toFixed(2))} fps`);
  text("hint", hint(session));
  text("network", worker.phase === "loading" ? "loading the network…" : worker.network ?? "");
  text("saved", app.saving ? "saving…" : Object.keys(session.given).length ? "saved" : "");
  text("last", String(session.frames - 1));
  text("kind", kindOf(session, app.wanted) ?? "");
  const listed = JSON.stringify(session.objects);
  if (listed !== shownObjects && !$("objects").contains(document.activeElement?.matches("input[type=text]") ? document.activeElement : null)) {
    shownObjects = listed;
    $("objects").replaceChildren(...session.objects.map(row));
  }
  markChosen();
  $("no-objects").hidden = session.objects.length > 0;
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", button.dataset.tool === painter.tool);
  $("undo").disabled = !painter.done.length; $("redo").disabled = !painter.undone.length;
  $("clear").disabled = !painter.document?.touched.size;
  const ready = Object.keys(session.given).length > 0 && !app.running && worker.phase !== "failed";
  for (const id of ["forward", "backward", "both"]) $(id).disabled = !ready;
  $("stop").disabled = !app.running;
  $("size").disabled = app.running;
  if (![...$("size").options].some((option) => Number(option.value) === session.settings.size)) {
    $("size").add(new Option(`${session.settings.size}p`, session.settings.size));
  }
  $("size").value = session.settings.size;
  $("play").setAttribute("aria-pressed", app.player.playing);
  text("speed", app.running && worker.fps ? `frame ${worker.frame}, ${worker.fps.toFixed(1)} frames/s, ${time(worker.left)}` : app.running ? "getting there…" : "");
  const exporting = app.exporting;
  for (const button of document.querySelectorAll("[data-export]")) {
    button.disabled = Boolean(exporting);
    const label = button.dataset.label ??= button.textContent;
    const now = exporting?.kind === button.dataset.export ? `${label}: ${Math.round(100 * exporting.share)} %` : label;
    if (button.textContent !== now) button.textContent = now;
  }
}
