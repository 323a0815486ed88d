// The choice of a film.
import { act, upload } from "./api.js";
import { $, app, attempt } from "./app.js";

export function bindStart() {
  $("file").addEventListener("change", () => { if ($("file").files[0]) send($("file").files[0]); $("file").value = ""; });
  for (const target of [$("start"), document.body]) {
    target.addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
    target.addEventListener("dragleave", () => $("drop").classList.remove("over"));
  }
  document.body.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file && !$("start").hidden) send(file);
  });
  $("packaged").addEventListener("click", () => attempt(() => act("open_packaged")));
  $("films").addEventListener("click", () => attempt(() => act("close")));
}

async function send(file) {
  const bar = $("upload");
  bar.hidden = false; bar.value = 0;
  await attempt(() => upload(file, (share) => { if (share < 1) bar.value = share; else bar.removeAttribute("value"); }));
  bar.hidden = true;
}

export function renderStart() {
  const { sessions, packaged } = app.state;
  $("packaged").hidden = !packaged;
  $("earlier-title").hidden = !sessions.length;
  $("earlier").replaceChildren(...sessions.slice(0, 12).map((entry) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const name = document.createElement("span"), facts = document.createElement("span");
    name.textContent = entry.folder;
    facts.textContent = `${entry.frames} frames, ${entry.objects} objects, ${new Date(entry.changed * 1000).toLocaleString()}`;
    facts.className = "dim";
    button.append(name, facts);
    button.addEventListener("click", () => attempt(() => act("open", { folder: entry.folder })));
    item.append(button);
    return item;
  }));
}
