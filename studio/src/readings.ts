// SPDX-License-Identifier: Apache-2.0
// Saved readings: Gemini's cached contents. A request takes one, so several are combined first.

import { useCallback, useEffect, useState } from "react";
import * as api from "./api";
import { useStored } from "./stored";
import type { SavedReading } from "./types";

export interface Readings {
  list: SavedReading[];
  picked: string[];
  toggle: (name: string) => void;
  remove: (name: string) => Promise<void>;
  save: (displayName: string, uris: string[], ttl: string) => Promise<void>;
  /** The one reading that holds all that are picked, combined now if need be. */
  together: () => Promise<string | undefined>;
}

export function useReadings(model: string | undefined): Readings {
  const [list, setList] = useState<SavedReading[]>([]);
  const [chosen, setChosen] = useStored<string[]>("pollux-picked", []);
  const picked = chosen.filter((name) => list.some((one) => one.name === name));

  useEffect(() => {
    if (model) api.readings().then(setList, () => {});
  }, [model]);

  const take = useCallback(
    (fresh: SavedReading) => {
      setList((old) => [fresh, ...old]);
      setChosen([fresh.name]);
    },
    [setChosen],
  );

  const toggle = (name: string) => {
    setChosen(picked.includes(name) ? picked.filter((one) => one !== name) : [...picked, name]);
  };
  const remove = async (name: string) => {
    setList((old) => old.filter((one) => one.name !== name));
    await api.remove(name).catch(() => {}); // gone already
  };
  const save = async (displayName: string, uris: string[], ttl: string) => {
    if (model) take(await api.save(model, displayName, uris, ttl));
  };
  const together = async () => {
    if (picked.length < 2) return picked[0];
    const names = picked.map((name) => list.find((one) => one.name === name)?.displayName);
    const label = names.map((name) => name ?? "…").join(" + ");
    const made = await api.combine(picked, label.slice(0, 128));
    take(made);
    return made.name;
  };
  return { list, picked, toggle, remove, save, together };
}
