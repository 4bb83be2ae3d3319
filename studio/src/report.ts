// SPDX-License-Identifier: Apache-2.0
// What `pollux eval needle` writes into needle.json, as far as it is drawn.

export interface Trial {
  question: string;
  expected: string[];
  text: string;
  kind: string;
  right: boolean;
  depth: number | null;
  line: number | null;
  place: string | null;
  seconds: number;
  audit?: { agrees: boolean; text: string; kind: string };
}

interface Scored {
  family: string;
  length: number;
  count: number;
  right: number;
  share: number | null;
  interval: [number, number];
}

export interface Cell extends Scored {
  depth: number | null;
  skipped: string | null;
  trials: Trial[];
}

export interface Report {
  settings: { weights: string };
  pooled: Scored[];
  audits: { cells: number; agreed: number };
  cells: Cell[];
}

export const FORMAT = "pollux needle 1";

/** undefined for what is no report. */
export function parsed(text: string): Report | undefined {
  try {
    const found = JSON.parse(text);
    const whole = found.format === FORMAT && Array.isArray(found.cells) && found.cells.length;
    return whole && found.cells.every((cell: Cell) => Array.isArray(cell.trials))
      ? found
      : undefined;
  } catch {
    return undefined;
  }
}

/** 1000 is "1k", 10000000 "10M". */
export function short(tokens: number): string {
  if (tokens >= 1e6 && (tokens * 10) % 1e6 === 0) return `${tokens / 1e6}M`;
  if (tokens >= 1e3 && (tokens * 10) % 1e3 === 0) return `${tokens / 1e3}k`;
  return `${tokens}`;
}

/** All and none are never come to by rounding. */
export function percent(share: number | null): string {
  if (share === null) return "–";
  if (share === 0 || share === 1) return `${share * 100}%`;
  return `${(Math.min(Math.max(share, 0.001), 0.999) * 100).toFixed(1)}%`;
}

/** A depth, 0 to 1. */
export function deep(depth: number): string {
  return `${Math.round(depth * 100)}%`;
}

/** From amber to green by way of yellow; dark letters are legible on all of it. */
export function colour(share: number): string {
  return `hsl(${Math.round(20 + 130 * share)} ${Math.round(78 - 24 * share)}% 74%)`;
}
