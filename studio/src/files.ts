// SPDX-License-Identifier: Apache-2.0
// The files among the context: sent, read in the background, watched until they are.

import { useCallback, useEffect, useRef, useState } from "react";
import * as api from "./api";
import { useStored } from "./stored";
import type { Item, ServerFile } from "./types";

const POLL = 500; // ms between looks at what is being read
const SHOWN = /^(image|audio|video)\//; // what browsers show by themselves

export interface Files {
  items: Item[];
  add: (sources: File[]) => Promise<void>;
  toggle: (key: string) => void;
  remove: (key: string) => void;
}

function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function described(file: ServerFile): Partial<Item> {
  return {
    state: file.state,
    mimeType: file.mimeType,
    bytes: Number(file.sizeBytes),
    error: file.error?.message,
    read: file.metadata?.tokensRead,
    ...(file.metadata?.tokenCount && { tokens: file.metadata.tokenCount }),
  };
}

/** `model` is asked how many tokens there will be to read; undefined while it is not known. */
export function useFiles(model: string | undefined): Files {
  const [kept, setKept] = useStored<Item[]>("pollux-files", []);
  const [items, setItems] = useState(kept);
  const restored = useRef(new Set(kept.map((item) => item.key)));
  const began = useRef(new Map<string, { at: number; read: number }>());

  const change = useCallback((key: string, fields: Partial<Item>) => {
    setItems((old) => old.map((item) => (item.key === key ? { ...item, ...fields } : item)));
  }, []);

  // Addresses of what is shown end with the page; what was being sent ends with it too.
  useEffect(() => {
    setKept(items.filter((item) => item.state !== "UPLOADING").map(({ url, ...item }) => item));
  }, [items, setKept]);

  useEffect(() => {
    if (!model) return;
    api.files().then(
      (found) => setItems((old) => merged(old, found, restored.current)),
      () => {}, // what is wrong with the server is told elsewhere
    );
  }, [model]);

  const reading = items.some((item) => item.state === "PROCESSING");
  useEffect(() => {
    if (!reading || !model) return;
    const look = async () => {
      for (const item of items.filter((one) => one.state === "PROCESSING")) {
        const file = await api.file(`files/${item.key}`).catch(() => null);
        if (file) change(item.key, { ...described(file), ...speed(began.current, item.key, file) });
      }
    };
    const timer = setTimeout(look, POLL);
    return () => clearTimeout(timer);
  }, [reading, items, model, change]);

  const send = useCallback(
    async (item: Item, source: File) => {
      const sent = (uploaded: number) => {
        const state = uploaded === source.size ? "PROCESSING" : "UPLOADING";
        change(item.key, { uploaded, state });
        if (state === "PROCESSING" && model) countAhead(model, item.key, change);
      };
      try {
        change(item.key, described(await api.upload(item.key, source, sent)));
      } catch (error) {
        change(item.key, { state: "FAILED", error: (error as Error).message, chosen: false });
      }
    },
    [change, model],
  );

  const add = useCallback(
    async (sources: File[]) => {
      const fresh = sources.map((source) => ({ item: itemOf(source), source }));
      setItems((old) => [...fresh.map(({ item }) => item), ...old]);
      for (const { item, source } of fresh) await send(item, source);
    },
    [send],
  );

  const toggle = useCallback((key: string) => {
    setItems((old) =>
      old.map((item) => (item.key === key ? { ...item, chosen: !item.chosen } : item)),
    );
  }, []);

  const remove = useCallback((key: string) => {
    setItems((old) => old.filter((item) => item.key !== key));
    api.remove(`files/${key}`).catch(() => {}); // it may never have got there
  }, []);

  return { items, add, toggle, remove };
}

function itemOf(source: File): Item {
  return {
    key: newId(),
    label: source.name,
    mimeType: source.type,
    bytes: source.size,
    state: "UPLOADING",
    chosen: true,
    uploaded: 0,
    ...(SHOWN.test(source.type) && { url: URL.createObjectURL(source) }),
  };
}

/**
 * Ours, as the server knows them now; after them the server's others, unticked. Of those that are
 * missing only the `restored` are gone: others came after the server was asked.
 */
function merged(old: Item[], found: ServerFile[], restored: Set<string>): Item[] {
  const there = new Map(found.map((file) => [file.name.replace("files/", ""), file]));
  const ours = old.map((item): Item => {
    const file = there.get(item.key);
    there.delete(item.key);
    if (file) return { ...item, ...described(file) };
    return restored.has(item.key) ? { ...item, state: "GONE", chosen: false } : item;
  });
  const others = [...there].map(([key, file]): Item => {
    const bytes = Number(file.sizeBytes);
    const label = file.displayName ?? key;
    const fixed = { key, label, bytes, uploaded: bytes, chosen: false };
    return { ...fixed, mimeType: file.mimeType, state: file.state, ...described(file) };
  });
  return [...ours, ...others];
}

/** Tokens that reading will come to: counting is much faster than reading. */
async function countAhead(
  model: string,
  key: string,
  change: (key: string, fields: Partial<Item>) => void,
) {
  for (let times = 0; times < 20; times++) {
    await new Promise((resolve) => setTimeout(resolve, POLL));
    try {
      const parts = [{ fileData: { fileUri: `files/${key}` } }];
      const tokens = await api.countTokens(model, { contents: [{ role: "user", parts }] });
      return change(key, { tokens });
    } catch (error) {
      // 404 until the last byte is there; anything else will be told of the file itself.
      if (![403, 404].includes((error as api.ApiFailure).code)) return;
    }
  }
}

function speed(
  began: Map<string, { at: number; read: number }>,
  key: string,
  file: ServerFile,
): Partial<Item> {
  const read = file.metadata?.tokensRead;
  if (file.state !== "PROCESSING" || !read) return {};
  const first = began.get(key);
  if (!first) began.set(key, { at: performance.now(), read });
  const seconds = first ? (performance.now() - first.at) / 1000 : 0;
  return first && seconds > 0.3 ? { perSecond: (read - first.read) / seconds } : {};
}
