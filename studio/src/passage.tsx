// SPDX-License-Identifier: Apache-2.0
// The panel beside the conversation: a place of a text in its context, with the film or recording
// that goes with it, or the page.

import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import type { Target } from "./answer";
import * as api from "./api";
import { Icon } from "./icons";
import { useStrings } from "./strings";
import type { Item, Lines, Place } from "./types";

const MARGIN = 40; // lines before and after

interface Props {
  target: Target;
  items: Item[];
  onClose: () => void;
}

export function Passage({ target, items, onClose }: Props) {
  const t = useStrings();
  const { shown, problem, more, look } = useLines(target);
  const heading = useRef<HTMLHeadingElement>(null);
  const marked = useRef<HTMLLIElement>(null);
  const place = target.source?.place;
  const wanted = shown?.part === target.part || !target.part ? target.line : 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another target, another place
  useEffect(() => {
    heading.current?.focus();
  }, [target]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: once the lines of the target are there
  useEffect(() => {
    marked.current?.scrollIntoView({ block: "center" });
  }, [shown?.part, target]);
  const item = items.find((one) => `files/${one.key}` === target.name);
  return (
    <section className="passage" aria-label={t.passage}>
      <header className="bar">
        <h2 ref={heading} tabIndex={-1} title={target.part}>
          {shown?.part ?? target.part}
        </h2>
        <button type="button" className="quiet" aria-label={t.close} onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      {shown && shown.parts.length > 1 && (
        <label className="parts">
          {t.part}
          <select value={shown.part} onChange={(event) => look(event.target.value)}>
            {[...new Set(shown.parts)].map((part) => (
              <option key={part}>{part}</option>
            ))}
          </select>
        </label>
      )}
      {shown && (
        <p className="dim where">
          {place?.page
            ? t.page(place.page)
            : place?.medium || t.lineOf(wanted || shown.line, shown.total)}
          {place?.time && ` · ${place.time}`}
        </p>
      )}
      {place?.time && <Playing time={place.time} items={items} own={item} />}
      {shown?.kind === "pdf" && <Page name={target.name} page={place?.page ?? 1} />}
      {problem && (
        <div className="failure" role="alert">
          <p>{problem}</p>
          {target.source && <blockquote>{target.source.text}</blockquote>}
        </div>
      )}
      {!shown && !problem && <p className="dim pulse">{t.loading}</p>}
      {shown && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
        <section className="lines" tabIndex={0} aria-label={shown.part}>
          {shown.line > 1 && (
            <button type="button" className="quiet full" onClick={() => more(-1)}>
              {t.before}
            </button>
          )}
          <ol>
            {shown.lines.map((text, index) => {
              const number = shown.line + index;
              const here = number === wanted;
              return (
                <li key={number} ref={here ? marked : undefined} className={here ? "here" : ""}>
                  <span className="number">{number}</span>
                  <span>{here && place ? highlighted(text, place) : text || "\u200b"}</span>
                </li>
              );
            })}
          </ol>
          {shown.line + shown.lines.length <= shown.total && (
            <button type="button" className="quiet full" onClick={() => more(1)}>
              {t.after}
            </button>
          )}
        </section>
      )}
    </section>
  );
}

/** The lines around a target; `more` of them before (-1) or after (1); `look` at another part. */
function useLines(target: Target) {
  const t = useStrings();
  const [shown, setShown] = useState<Lines>();
  const [problem, setProblem] = useState("");
  const load = useCallback(
    async (part: string, line: number, margin = MARGIN) => {
      try {
        return await api.lines(target.name, part, line, target.within, margin);
      } catch (error) {
        const { code, message } = error as api.ApiFailure;
        setProblem(code === 404 || code === 403 ? t.lostPassage : message || t.offline);
      }
    },
    [target, t],
  );
  useEffect(() => {
    let current = true;
    setProblem("");
    load(target.part, target.line).then((found) => {
      if (current) setShown(found);
    });
    return () => {
      current = false;
    };
  }, [load, target]);
  const look = async (part: string) => setShown(await load(part, 1));
  const more = async (direction: -1 | 1) => {
    if (!shown) return;
    const last = shown.line + shown.lines.length - 1;
    // Lines around one that lies as far beyond the edge as the margin is wide.
    const size = direction < 0 ? Math.min(MARGIN, Math.floor((shown.line - 1) / 2)) : MARGIN;
    const around = direction < 0 ? shown.line - 1 - size : last + 1 + size;
    const found = await load(shown.part, Math.min(around, shown.total), size);
    if (!found) return;
    const fresh = found.lines.filter(
      (_, i) => found.line + i < shown.line || found.line + i > last,
    );
    const lines = direction < 0 ? [...fresh, ...shown.lines] : [...shown.lines, ...fresh];
    setShown({ ...shown, line: Math.min(shown.line, found.line), lines });
  };
  return { shown, problem, more, look };
}

/** What the source covers of the line: from its column on, as many bytes as it has. */
function highlighted(text: string, place: Place): ReactNode {
  const characters = [...text];
  const before = characters.slice(0, place.column - 1).join("");
  const rest = new TextEncoder().encode(characters.slice(place.column - 1).join(""));
  const size = Math.max(place.endByte - place.startByte, 1);
  const decoder = new TextDecoder();
  return (
    <>
      {before}
      <mark>{decoder.decode(rest.slice(0, size)).replaceAll("\ufffd", "")}</mark>
      {size < rest.length && decoder.decode(rest.slice(size)).replaceAll("\ufffd", "")}
    </>
  );
}

/** "[dd:]hh:mm:ss" or "mm:ss" in seconds; before the start is the start. */
export function seconds(time: string): number {
  const units = [1, 60, 3_600, 86_400];
  const numbers = time.replace("-", "").split(":").reverse().map(Number);
  const total = numbers.reduce((sum, n, i) => sum + n * (units[i] ?? 0), 0);
  return time.startsWith("-") ? 0 : total;
}

/** The recording itself, or of a transcript any film or recording that lies beside it. */
function Playing({ time, items, own }: { time: string; items: Item[]; own?: Item }) {
  const t = useStrings();
  const player = useRef<HTMLVideoElement>(null);
  const playable = items.filter((item) => item.url && /^(audio|video)\//.test(item.mimeType));
  const stem = (item?: Item) => item?.label.replace(/\.[^.]+$/, "");
  const item = playable.find((one) => stem(one) === stem(own)) ?? playable[0];
  useEffect(() => {
    if (player.current) player.current.currentTime = seconds(time);
  }, [time]);
  if (!item) return null;
  return (
    <div className="playing">
      {/* biome-ignore lint/a11y/useMediaCaption: the transcript is what stands below */}
      <video
        ref={player}
        className={item.mimeType.startsWith("audio/") ? "sound" : ""}
        controls
        src={item.url}
        aria-label={item.label}
        onLoadedMetadata={(event) => {
          event.currentTarget.currentTime = seconds(time);
        }}
      />
      <button
        type="button"
        className="small"
        onClick={() => {
          if (!player.current) return;
          player.current.currentTime = seconds(time);
          player.current.play();
        }}
      >
        {t.playAt(time)}
      </button>
    </div>
  );
}

/** The browser's own viewer of PDF, once it is asked for. */
function Page({ name, page }: { name: string; page: number }) {
  const t = useStrings();
  const [url, setUrl] = useState("");
  useEffect(() => () => URL.revokeObjectURL(url), [url]);
  const show = async () => {
    // Whatever it was uploaded as: shown as anything but a PDF it could be a page of scripts.
    const content = await api.content(name);
    setUrl(URL.createObjectURL(new Blob([content], { type: "application/pdf" })));
  };
  if (!url) {
    return (
      <button type="button" className="small" onClick={() => show().catch(() => {})}>
        {t.showPdf}
      </button>
    );
  }
  return (
    <div className="pdf">
      <iframe title={t.page(page)} src={`${url}#page=${page}`} />
      <a href={`${url}#page=${page}`} target="_blank" rel="noreferrer">
        {t.openPdf}
      </a>
    </div>
  );
}
