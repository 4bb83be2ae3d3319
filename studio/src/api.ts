// SPDX-License-Identifier: Apache-2.0
// The server's routes. The key, where one is asked for, lives as long as the browser's tab.

import type { Chunk, GenerateRequest, Lines, Model, SavedReading, ServerFile } from "./types";

const KEY = "pollux-key";
const CHUNK = 4 << 20; // bytes of an upload sent at once

export class ApiFailure extends Error {
  constructor(
    message: string,
    readonly code: number,
  ) {
    super(message);
  }
}

export function setKey(key: string): void {
  sessionStorage.setItem(KEY, key);
}

export function hasKey(): boolean {
  return Boolean(sessionStorage.getItem(KEY));
}

function headers(more: Record<string, string> = {}): Record<string, string> {
  const key = sessionStorage.getItem(KEY);
  return key ? { "x-goog-api-key": key, ...more } : more;
}

/** The reply, if it is a good one. ApiFailure with the server's own words, or code 0 for none. */
async function reply(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers: headers(init.headers as never) });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiFailure("", 0);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new ApiFailure(body?.error?.message ?? response.statusText, response.status);
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await reply(path, { signal })).json() as Promise<T>;
}

async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const init = {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
    signal,
  };
  return (await reply(path, init)).json() as Promise<T>;
}

export async function models(): Promise<Model[]> {
  return (await get<{ models: Model[] }>("/v1beta/models")).models;
}

export function file(name: string): Promise<ServerFile> {
  return get(`/v1beta/${name}`);
}

export async function files(): Promise<ServerFile[]> {
  return (await get<{ files: ServerFile[] }>("/v1beta/files?pageSize=100")).files;
}

export async function content(name: string): Promise<Blob> {
  return (await reply(`/v1beta/${name}:download?alt=media`)).blob();
}

export async function remove(name: string): Promise<void> {
  await reply(`/v1beta/${name}`, { method: "DELETE" });
}

export async function readings(): Promise<SavedReading[]> {
  const path = "/v1beta/cachedContents?pageSize=100";
  return (await get<{ cachedContents: SavedReading[] }>(path)).cachedContents;
}

export function save(
  model: string,
  displayName: string,
  uris: string[],
  ttl: string,
): Promise<SavedReading> {
  const parts = uris.map((fileUri) => ({ fileData: { fileUri } }));
  const contents = [{ role: "user", parts }];
  return post("/v1beta/cachedContents", { model, displayName, contents, ttl });
}

/** Saved readings side by side as a new one. */
export function combine(names: string[], displayName: string): Promise<SavedReading> {
  return post("/studio/readings", { names, displayName });
}

export async function novel(): Promise<string> {
  return (await reply("/studio/war-and-peace.txt")).text();
}

/** Lines around `line` of a part of a file or saved reading, as they were read. */
export function lines(
  name: string,
  part: string,
  line: number,
  within: string,
  margin: number,
): Promise<Lines> {
  const query = new URLSearchParams({ name, part, within });
  return get(`/studio/lines?${query}&line=${line}&margin=${margin}`);
}

export async function countTokens(
  model: string,
  request: GenerateRequest,
  signal?: AbortSignal,
): Promise<number> {
  const { contents, cachedContent, systemInstruction } = request;
  const generateContentRequest = { model, contents, cachedContent, systemInstruction };
  const path = `/v1beta/${model}:countTokens`;
  return (await post<{ totalTokens: number }>(path, { generateContentRequest }, signal))
    .totalTokens;
}

/** Resumable upload under an id of our own, so that progress can be asked for before it is done. */
export async function upload(
  id: string,
  source: File,
  onBytes: (sent: number) => void,
): Promise<ServerFile> {
  const file = {
    name: `files/${id}`,
    displayName: source.name,
    sizeBytes: String(source.size),
    ...(source.type && { mimeType: source.type }),
  };
  const begun = await reply("/upload/v1beta/files", {
    method: "POST",
    body: JSON.stringify({ file }),
    headers: {
      "content-type": "application/json",
      "x-goog-upload-protocol": "resumable",
      "x-goog-upload-command": "start",
      "x-goog-upload-header-content-length": String(source.size),
    },
  });
  const url = new URL(begun.headers.get("x-goog-upload-url") ?? "/", location.origin);
  let sent = 0;
  for (;;) {
    const end = Math.min(sent + CHUNK, source.size);
    const last = end === source.size;
    onBytes(last ? source.size : sent);
    const response = await reply(url.pathname + url.search, {
      method: "POST",
      body: source.slice(sent, end),
      headers: {
        "x-goog-upload-command": last ? "upload, finalize" : "upload",
        "x-goog-upload-offset": String(sent),
      },
    });
    if (last) return (await response.json()).file;
    sent = end;
  }
}

/** The answer as it comes; an abort of `signal` stops the server's work too. */
export async function* stream(
  model: string,
  request: GenerateRequest,
  signal: AbortSignal,
): AsyncGenerator<Chunk> {
  const response = await reply(`/v1beta/${model}:streamGenerateContent?alt=sse`, {
    method: "POST",
    body: JSON.stringify(request),
    headers: { "content-type": "application/json" },
    signal,
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    waiting += value ?? "";
    const events = waiting.split(/\r?\n\r?\n/);
    waiting = done ? "" : (events.pop() ?? "");
    for (const event of events) {
      if (!event.startsWith("data:")) continue;
      const chunk = JSON.parse(event.slice(5)) as Chunk;
      if (chunk.error) throw new ApiFailure(chunk.error.message, chunk.error.code);
      yield chunk;
    }
    if (done) return;
  }
}
