// SPDX-License-Identifier: Apache-2.0

import { useEffect, useState } from "react";

const BARS = 96;
const MOST = 30 << 20; // bytes; what is longer would fill the memory when decoded

/** The loudest of each of BARS equal stretches, 0 to 1. */
async function peaks(url: string): Promise<number[]> {
  const data = await (await fetch(url)).arrayBuffer();
  if (data.byteLength > MOST) return [];
  const sound = await new OfflineAudioContext(1, 1, 8_000).decodeAudioData(data);
  const samples = sound.getChannelData(0);
  const step = Math.max(1, Math.floor(samples.length / BARS));
  const found = Array.from({ length: BARS }, (_, bar) =>
    samples.slice(bar * step, (bar + 1) * step).reduce((most, x) => Math.max(most, Math.abs(x)), 0),
  );
  const most = Math.max(...found, 1e-6);
  return found.map((peak) => peak / most);
}

export function Waveform({ url }: { url: string }) {
  const [bars, setBars] = useState<number[]>([]);
  useEffect(() => {
    peaks(url).then(setBars, () => {}); // what cannot be decoded has none
  }, [url]);
  if (!bars.length) return null;
  return (
    <svg className="waveform" viewBox={`0 0 ${BARS * 2} 24`} aria-hidden="true">
      <path d={bars.map((bar, i) => `M${i * 2 + 1} ${12 - bar * 11}v${bar * 22 + 0.5}`).join("")} />
    </svg>
  );
}
