// SPDX-License-Identifier: Apache-2.0
// Line drawings on a grid of 20; what they mean is said by the button they are in.

const PATHS = {
  auto: "M10 3a7 7 0 1 0 0 14zM10 3v14a7 7 0 0 0 0-14z",
  close: "M5 5l10 10M15 5 5 15",
  code: "M7 6 3 10l4 4M13 6l4 4-4 4",
  context: "M4 3.5h8l4 4v9H4zM12 3.5v4h4M7 11h6M7 14h4",
  dark: "M16 12.5A7 7 0 0 1 7.5 4a6.5 6.5 0 1 0 8.5 8.5z",
  eye: "M2.5 10S5 5 10 5s7.5 5 7.5 5-2.5 5-7.5 5-7.5-5-7.5-5zM10 8a2 2 0 1 0 0 4 2 2 0 0 0 0-4z",
  light:
    "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM10 2v2M10 16v2M2 10h2M16 10h2M4.3 4.3l1.4 1.4M14.3 14.3l1.4 1.4M15.7 4.3l-1.4 1.4M5.7 14.3l-1.4 1.4",
  plus: "M10 4v12M4 10h12",
  paste: "M7 4H5v13h10V4h-2M7 3h6v3H7zM8 10h4M8 13h4",
  send: "M10 16V4M5 9l5-5 5 5",
  settings: "M3 6h8M15 6h2M3 14h2M9 14h8M13 4v4M7 12v4",
  stop: "M6 6h8v8H6z",
  trash: "M4 6h12M8 6V4h4v2M6 6l.7 10.5h6.6L14 6",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
