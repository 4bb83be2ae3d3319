// SPDX-License-Identifier: Apache-2.0

import { createContext, useContext } from "react";
import { en } from "./en";
import { zh } from "./zh";

export type { Strings } from "./en";
export type Language = "en" | "zh";
export const languages = { en, zh };

/** The first of the browser's languages that there is. */
export function preferred(): Language {
  const known = navigator.languages.map((name) => name.slice(0, 2));
  return known.find((name): name is Language => name in languages) ?? "en";
}

export const StringsContext = createContext(en);

export function useStrings() {
  return useContext(StringsContext);
}
