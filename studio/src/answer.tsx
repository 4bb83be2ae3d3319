// SPDX-License-Identifier: Apache-2.0
// A question, its answer, and where that was read.

import type { ReactNode } from "react";
import { useStrings } from "./strings";
import type { Source, Turn } from "./types";

export interface Target {
  name: string; // files/ID or cachedContents/ID
  part: string;
  line: number;
  within: string; // the saved reading that was asked
  source?: Source;
}

interface Props {
  turn: Turn;
  labels: Map<string, string>; // file names by files/ID
  onOpen: (target: Target) => void;
  onRetry: () => void;
}

export function Answer({ turn, labels, onOpen, onRetry }: Props) {
  const t = useStrings();
  const waiting = turn.state === "waiting";
  return (
    <article className="turn">
      <p className="question">
        <span className="hidden">{t.you}: </span>
        {turn.question}
      </p>
      <div className="answer" aria-busy={turn.state === "streaming" || waiting}>
        <span className="hidden">{t.answer}: </span>
        {waiting && <p className="dim pulse">{t.thinking}</p>}
        {turn.text && (
          <p className="said">
            <Linked turn={turn} labels={labels} onOpen={onOpen} />
            {turn.state === "streaming" && <span className="caret" />}
          </p>
        )}
        {turn.pictures?.map((picture, index) => (
          <img
            className="drawn"
            key={picture}
            src={picture}
            alt={t.drawn(index + 1, turn.question)}
          />
        ))}
        {turn.calls.map((call) => (
          <figure className="call" key={JSON.stringify(call)}>
            <figcaption>
              {t.call}: <b>{call.name}</b>
            </figcaption>
            <pre>{JSON.stringify(call.args ?? {}, null, 2)}</pre>
          </figure>
        ))}
        {turn.state === "stopped" && <p className="dim">{t.stopped}</p>}
        {turn.finish === "MAX_TOKENS" && <p className="dim">{t.cutShort}</p>}
        {turn.finish === "SAFETY" && <p className="problem">{t.blocked}</p>}
        {turn.state === "failed" && (
          <div className="failure" role="alert">
            <p>{turn.error || t.offline}</p>
            <button type="button" className="small" onClick={onRetry}>
              {t.retry}
            </button>
          </div>
        )}
      </div>
      {turn.sources.length > 0 && <Sources turn={turn} onOpen={onOpen} />}
      {turn.state === "done" && <Spent turn={turn} />}
    </article>
  );
}

function Sources({ turn, onOpen }: { turn: Turn; onOpen: Props["onOpen"] }) {
  const t = useStrings();
  return (
    <section className="sources" aria-label={turn.cited ? t.sources : t.recalled}>
      <h3>{turn.cited ? t.sources : t.recalled}</h3>
      <ol>
        {turn.sources.map((source, index) => (
          <li key={`${source.uri} ${source.place.startByte}`}>
            <button
              type="button"
              className="source"
              aria-label={t.source(index + 1, told(source, t))}
              onClick={() => onOpen(target(source, turn))}
            >
              <span className="mark">{index + 1}</span>
              <span className="place">{told(source, t)}</span>
              <span className="weight">{Math.round((turn.weights[index] ?? 0) * 100)}%</span>
              <span className="excerpt">
                {source.text.replace(/^[\s.,;:!?…。，；：！？]+/, "")}
              </span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}

function target(source: Source, turn: Turn): Target {
  const name = source.uri.replace(/#[^#]*$/, "");
  const { part, line } = source.place;
  return { name, part, line, within: turn.within ?? "", source };
}

function told(source: Source, t: ReturnType<typeof useStrings>): string {
  const { line, medium, page, time } = source.place;
  const where = page ? t.page(page) : medium ? "" : t.line(line);
  return [source.title, where, time].filter(Boolean).join(", ");
}

/** The answer, its places made links. Passages that it lists stand below, so not here. */
function Linked({ turn, labels, onOpen }: Omit<Props, "onRetry">) {
  const listed = !turn.cited && turn.sources.length > 0;
  const text = listed ? (turn.text.split(/\n\[1\] /)[0] ?? "") : turn.text;
  const known = new Map<string, string>(); // files/ID by the name of the part that it is read as
  for (const { parts } of turn.request.contents) {
    for (const uri of parts.flatMap((part) => part.fileData?.fileUri ?? [])) {
      known.set(labels.get(uri) ?? uri, uri);
    }
  }
  for (const source of turn.sources) known.set(source.title, target(source, turn).name);
  const titles = [...known.keys()].sort((a, b) => b.length - a.length).map(escaped);
  if (!titles.length) return text;
  const places = new RegExp(`(${titles.join("|")}):(\\d+)`, "g");
  const out: ReactNode[] = [];
  let end = 0;
  for (const found of text.matchAll(places)) {
    const [all, part = "", line = "1"] = found;
    const place = { name: known.get(part) ?? "", part, line: Number(line) };
    const open = () => onOpen({ ...place, within: turn.within ?? "" });
    out.push(text.slice(end, found.index));
    out.push(
      <button type="button" className="link" key={found.index} onClick={open}>
        {all}
      </button>,
    );
    end = found.index + all.length;
  }
  return [...out, text.slice(end)];
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function Spent({ turn }: { turn: Turn }) {
  const t = useStrings();
  const { usage, firstMs = 0, totalMs = 0 } = turn;
  if (!usage) return null;
  const told = [t.spent.read(usage.promptTokenCount)];
  if (usage.cachedContentTokenCount) told.push(t.spent.cached(usage.cachedContentTokenCount));
  told.push(t.spent.first(firstMs));
  const tokens = usage.candidatesTokenCount ?? 0;
  if (totalMs > firstMs + 20 && tokens > 1) {
    told.push(t.spent.speed(((tokens - 1) / (totalMs - firstMs)) * 1000));
  }
  return <p className="spent">{told.join(" · ")}</p>;
}
