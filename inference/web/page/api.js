// Talks to the server. All addresses are relative to the page's own, whose first part is the key.

export class Refused extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

async function answer(response) {
  if (response.ok) return response;
  let message = `The server answers ${response.status}.`;
  try { message = (await response.json()).error ?? message; } catch { /* not ours: keep the number */ }
  throw new Refused(message, response.status);
}

export async function get(path, signal) {
  return answer(await fetch(path, { signal }));
}

export async function put(path, body) {
  return (await answer(await fetch(path, { method: "PUT", body }))).json();
}

export async function act(action, wish = {}) {
  return (await answer(await fetch(`do/${action}`, { method: "POST", body: JSON.stringify(wish) }))).json();
}

// An upload streams from the disk; XMLHttpRequest, as fetch tells nothing about how far it is.
export function upload(file, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `film?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => tell(event.total ? event.loaded / event.total : 0);
    request.onerror = () => reject(new Refused("The upload was cut off.", 0));
    request.onload = () => {
      if (request.status === 200) return resolve();
      let message = `The server answers ${request.status}.`;
      try { message = JSON.parse(request.responseText).error; } catch { /* keep the number */ }
      reject(new Refused(message, request.status));
    };
    request.send(file);
  });
}

export function listen(handlers) {
  const source = new EventSource("events");
  source.onmessage = (event) => {
    const message = JSON.parse(event.data);
    handlers[message.type]?.(message);
  };
  source.onopen = () => handlers.open();
  source.onerror = () => handlers.lost();
}
