// SPDX-License-Identifier: Apache-2.0
// Checks what is typed into the JSON editors, before the server does.

import type { Strings } from "./strings";
import type { Json } from "./types";

export interface Checked {
  value?: Json;
  problem?: string;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$/;
type JsonObject = { [name: string]: Json };

export const SCHEMA_EXAMPLE = `{
  "type": "object",
  "properties": { "code": { "type": "string", "pattern": "^[0-9]{7}$" } },
  "required": ["code"],
  "additionalProperties": false
}`;

export const FUNCTIONS_EXAMPLE = `[
  {
    "name": "open_gate",
    "description": "Opens a gate with its code.",
    "parametersJsonSchema": {
      "type": "object",
      "properties": { "code": { "type": "string", "pattern": "^[0-9]{7}$" } },
      "required": ["code"],
      "additionalProperties": false
    }
  }
]`;

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parse(text: string, t: Strings): Checked {
  if (!text.trim()) return {};
  try {
    return { value: JSON.parse(text) as Json };
  } catch (error) {
    return { problem: t.problems.syntax((error as Error).message) };
  }
}

export function checkSchema(text: string, t: Strings): Checked {
  const { value, problem } = parse(text, t);
  if (problem || value === undefined) return { problem: problem ?? t.problems.object };
  if (!isObject(value)) return { problem: t.problems.object };
  const typed = ["type", "enum", "const", "anyOf", "oneOf", "$ref"].some((name) => name in value);
  return typed ? { value } : { problem: t.problems.type };
}

/** Words of an enum, a line each. */
export function checkWords(text: string, t: Strings): Checked {
  const words = lines(text);
  return words.length > 1 ? { value: words } : { problem: t.problems.words };
}

/** Nothing typed is no function, and no problem. */
export function checkFunctions(text: string, t: Strings): Checked {
  const { value, problem } = parse(text, t);
  if (problem || value === undefined) return { problem };
  if (!Array.isArray(value)) return { problem: t.problems.list };
  const names = new Set<string>();
  for (const [index, one] of value.entries()) {
    if (!isObject(one) || typeof one.name !== "string" || !NAME.test(one.name)) {
      return { problem: t.problems.name(index + 1) };
    }
    if (names.has(one.name)) return { problem: t.problems.twice(one.name) };
    names.add(one.name);
    const parameters = one.parametersJsonSchema ?? one.parameters;
    if (parameters === undefined) continue;
    const type = isObject(parameters) ? String(parameters.type).toLowerCase() : "";
    if (type !== "object") return { problem: t.problems.parameters(one.name) };
  }
  return value.length ? { value } : {};
}

export function lines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
}
