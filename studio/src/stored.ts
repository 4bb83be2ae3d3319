// SPDX-License-Identifier: Apache-2.0

import { useEffect, useState } from "react";

/** State that outlives a reload: as long as the tab, or for good in `localStorage`. */
export function useStored<T>(name: string, initial: T, storage: Storage = sessionStorage) {
  const [value, setValue] = useState<T>(() => {
    try {
      const kept = storage.getItem(name);
      return kept === null ? initial : (JSON.parse(kept) as T);
    } catch {
      return initial;
    }
  });
  useEffect(() => {
    try {
      storage.setItem(name, JSON.stringify(value));
    } catch {
      // Full: what is there stays.
    }
  }, [name, value, storage]);
  return [value, setValue] as const;
}
