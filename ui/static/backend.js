// The backend, asked through the page's own address.

import { word } from "./dom.js";

const BASE = new URL("/backend/", location.href);

/** A refusal or a silence, as one sentence to show. */
export class BackendError extends Error {}

async function reasonOf(answer) {
  try {
    const body = await answer.json();
    return body.message ?? body.error?.message ?? JSON.stringify(body.detail ?? body);
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}

/** The answer of the backend. Throws `BackendError` for anything but success. */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(new URL(path.replace(/^\//, ""), BASE), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new BackendError(word("page_away"));
  }
  if (!answer.ok) {
    const failure = new BackendError(await reasonOf(answer));
    failure.status = answer.status;
    throw failure;
  }
  return answer;
}

export async function askJson(path, options = {}) {
  const answer = await ask(path, options);
  return answer.status === 204 ? null : answer.json();
}

export function sendJson(method, path, body) {
  return askJson(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

let described = null;

/** The backend's own description, asked once it can be reached. */
export function description() {
  described ??= askJson("openapi.json").catch((error) => {
    described = null;
    throw error;
  });
  return described;
}

/** Whether the backend offers a call, such as offers("get", "/requests"). */
export async function offers(method, path) {
  try {
    return Boolean((await description()).paths[path]?.[method]);
  } catch {
    return false;
  }
}

/** The fields of `POST /tts` by name. */
export async function speechFields() {
  const body = (await description()).paths["/tts"].post.requestBody;
  return body.content["application/json"].schema.properties;
}
