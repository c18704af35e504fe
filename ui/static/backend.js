// Requests to the backend through the page's own proxy.

import { t } from "./dom.js";

const BASE = new URL("/backend/", location.href);

/** A failed request; its message can be shown to the user. */
export class BackendError extends Error {}

async function errorMessage(response) {
  try {
    const body = await response.json();
    return body.message ?? body.error?.message ?? JSON.stringify(body.detail ?? body);
  } catch {
    return t(response.status >= 500 ? "server_failed" : "request_refused");
  }
}

/** Returns the response. Throws `BackendError` unless its status is a success. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(new URL(path.replace(/^\//, ""), BASE), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new BackendError(t("page_unreachable"));
  }
  if (!response.ok) {
    const failure = new BackendError(await errorMessage(response));
    failure.status = response.status;
    throw failure;
  }
  return response;
}

export async function requestJson(path, options = {}) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
}

export function sendJson(method, path, body) {
  return requestJson(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

let readyState = null;

/** Call `act` with the response of `/ready` whenever the backend has become ready, at once if it is. */
export function onReady(act) {
  document.addEventListener("pg-ready", (event) => act(event.detail));
  if (readyState) act(readyState);
}

/** Record whether the backend is ready; null means that it is not. */
export function setReady(ready) {
  const hasChanged = Boolean(ready) !== Boolean(readyState);
  readyState = ready;
  if (ready && hasChanged) {
    specification = null;
    document.dispatchEvent(new CustomEvent("pg-ready", { detail: ready }));
  }
}

let specification = null;

/** The backend's OpenAPI document, cached after the first successful request. */
export function openapi() {
  specification ??= requestJson("openapi.json").catch((error) => {
    specification = null;
    throw error;
  });
  return specification;
}

/** Returns whether the backend has an endpoint, such as hasEndpoint("get", "/requests"). */
export async function hasEndpoint(method, path) {
  try {
    return Boolean((await openapi()).paths[path]?.[method]);
  } catch {
    return false;
  }
}

/** Returns the schemas of the fields of `POST /tts` by name. */
export async function speechFields() {
  const body = (await openapi()).paths["/tts"].post.requestBody;
  return body.content["application/json"].schema.properties;
}
