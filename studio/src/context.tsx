// SPDX-License-Identifier: Apache-2.0
// What will be asked: files and saved readings, ticked or not.

import { useEffect, useRef, useState } from "react";
import type { Files } from "./files";
import { Icon } from "./icons";
import { PasteDialog, SaveDialog } from "./intake";
import type { Readings } from "./readings";
import { asked } from "./request";
import { useStrings } from "./strings";
import type { Item, SavedReading } from "./types";
import { Waveform } from "./waveform";

interface Props {
  files: Files;
  readings: Readings;
  onLook: (name: string, label: string) => void;
  onProblem: (message: string) => void;
}

export function Context({ files, readings, onLook, onProblem }: Props) {
  const t = useStrings();
  const [dialog, setDialog] = useState<"paste" | "save" | null>(null);
  const chooser = useRef<HTMLInputElement>(null);
  const ready = files.items.filter((item) => item.chosen && item.state === "ACTIVE");
  return (
    <>
      <section aria-labelledby="files-title">
        <header className="bar">
          <h2 id="files-title">{t.files}</h2>
          <button type="button" className="quiet small" onClick={() => setDialog("paste")}>
            <Icon name="paste" /> {t.pasteText}
          </button>
          <button type="button" className="small" onClick={() => chooser.current?.click()}>
            <Icon name="plus" /> {t.addFiles}
          </button>
          <input
            ref={chooser}
            type="file"
            multiple
            hidden
            aria-label={t.addFiles}
            onChange={(event) => {
              files.add([...(event.target.files ?? [])]);
              event.target.value = "";
            }}
          />
        </header>
        {files.items.length === 0 && <p className="dim empty">{t.noFiles}</p>}
        <ul className="items">
          {files.items.map((item) => (
            <FileRow key={item.key} item={item} files={files} onLook={onLook} />
          ))}
        </ul>
      </section>
      <section aria-labelledby="readings-title">
        <header className="bar">
          <h2 id="readings-title">{t.readings}</h2>
          {ready.length > 0 && (
            <button type="button" className="small" onClick={() => setDialog("save")}>
              {t.save}
            </button>
          )}
        </header>
        {readings.list.length === 0 && <p className="dim empty">{t.noReadings}</p>}
        <ul className="items">
          {readings.list.map((one) => (
            <ReadingRow key={one.name} reading={one} readings={readings} onLook={onLook} />
          ))}
        </ul>
        {readings.picked.length > 1 && <CombineButton readings={readings} onProblem={onProblem} />}
      </section>
      {dialog === "paste" && (
        <PasteDialog onClose={() => setDialog(null)} onText={(file) => files.add([file])} />
      )}
      {dialog === "save" && (
        <SaveDialog files={ready} readings={readings} onClose={() => setDialog(null)} />
      )}
    </>
  );
}

function CombineButton({
  readings,
  onProblem,
}: {
  readings: Readings;
  onProblem: (message: string) => void;
}) {
  const t = useStrings();
  const [busy, setBusy] = useState(false);
  const combine = () => {
    setBusy(true);
    readings
      .together()
      .catch((error: Error) => onProblem(error.message))
      .finally(() => setBusy(false));
  };
  return (
    <button type="button" className="full" disabled={busy} onClick={combine}>
      {busy ? t.combining : t.combine(readings.picked.length)}
    </button>
  );
}

interface FileRowProps {
  item: Item;
  files: Files;
  onLook: Props["onLook"];
}

function FileRow({ item, files, onLook }: FileRowProps) {
  const t = useStrings();
  const usable = item.state === "ACTIVE" || item.state === "PROCESSING";
  return (
    <li className={`item ${item.state.toLowerCase()}`}>
      <label className="pick">
        <input
          type="checkbox"
          checked={item.chosen && usable}
          disabled={!usable}
          aria-label={t.use(item.label)}
          onChange={() => files.toggle(item.key)}
        />
        <Thumbnail item={item} />
        <span className="name" title={item.label}>
          {item.label}
        </span>
      </label>
      {item.state === "ACTIVE" && (
        <button
          type="button"
          className="quiet"
          aria-label={t.look(item.label)}
          onClick={() => onLook(`files/${item.key}`, item.label)}
        >
          <Icon name="eye" />
        </button>
      )}
      <button
        type="button"
        className="quiet"
        aria-label={t.remove(item.label)}
        onClick={() => files.remove(item.key)}
      >
        <Icon name="trash" />
      </button>
      <FileState item={item} />
      {item.url && <Player item={item} url={item.url} />}
    </li>
  );
}

function FileState({ item }: { item: Item }) {
  const t = useStrings();
  switch (item.state) {
    case "ACTIVE":
      return <p className="state">{t.tokens(item.tokens ?? 0)}</p>;
    case "GONE":
      return <p className="state problem">{t.gone}</p>;
    case "FAILED":
      return <p className="state problem">{item.error ?? t.failed}</p>;
    case "UPLOADING":
      return <Progress item={item} done={item.uploaded} whole={item.bytes} told={t.uploading} />;
    case "PROCESSING": {
      const { read = 0, tokens, perSecond } = item;
      const told = [read ? t.reading : t.waiting];
      if (perSecond) told.push(t.perSecond(perSecond));
      if (perSecond && tokens) told.push(t.left((tokens - read) / perSecond));
      return <Progress item={item} done={read} whole={tokens} told={told.join(" · ")} />;
    }
  }
}

interface ProgressProps {
  item: Item;
  done: number;
  whole?: number;
  told: string;
}

function Progress({ item, done, whole, told }: ProgressProps) {
  const t = useStrings();
  return (
    <div className="state">
      <progress
        aria-label={t.readProgress(item.label)}
        value={whole ? Math.min(done, whole) : undefined}
        max={whole || undefined}
      />
      <span>{told}</span>
    </div>
  );
}

function Thumbnail({ item }: { item: Item }) {
  if (item.url && item.mimeType.startsWith("image/")) {
    return <img className="thumbnail" src={item.url} alt="" />;
  }
  const suffix = item.label.split(".").pop() ?? "";
  return (
    <span className="thumbnail" aria-hidden="true">
      {suffix.length < 5 ? suffix : "…"}
    </span>
  );
}

function Player({ item, url }: { item: Item; url: string }) {
  if (item.mimeType.startsWith("audio/")) {
    return (
      <div className="player">
        <Waveform url={url} />
        {/* biome-ignore lint/a11y/useMediaCaption: whoever brought it may have none */}
        <audio controls preload="metadata" src={url} aria-label={item.label} />
      </div>
    );
  }
  if (item.mimeType.startsWith("video/")) {
    return (
      // biome-ignore lint/a11y/useMediaCaption: whoever brought it may have none
      <video className="player" controls preload="metadata" src={url} aria-label={item.label} />
    );
  }
  return null;
}

interface ReadingRowProps {
  reading: SavedReading;
  readings: Readings;
  onLook: Props["onLook"];
}

function ReadingRow({ reading, readings, onLook }: ReadingRowProps) {
  const t = useStrings();
  const label = reading.displayName ?? t.unnamed;
  return (
    <li className="item">
      <label className="pick">
        <input
          type="checkbox"
          checked={readings.picked.includes(reading.name)}
          aria-label={t.use(label)}
          onChange={() => readings.toggle(reading.name)}
        />
        <span className="name" title={label}>
          {label}
        </span>
      </label>
      <button
        type="button"
        className="quiet"
        aria-label={t.look(label)}
        onClick={() => onLook(reading.name, label)}
      >
        <Icon name="eye" />
      </button>
      <button
        type="button"
        className="quiet"
        aria-label={t.remove(label)}
        onClick={() => readings.remove(reading.name)}
      >
        <Icon name="trash" />
      </button>
      <p className="state">
        {t.tokens(reading.usageMetadata.totalTokenCount)} · {t.until(new Date(reading.expireTime))}
      </p>
    </li>
  );
}

/** Drops anywhere on the page; a sheet says so while something hovers. */
export function DropSheet({ onFiles }: { onFiles: (files: File[]) => void }) {
  const t = useStrings();
  const [over, setOver] = useState(false);
  useEffect(() => {
    const brings = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const enter = (event: DragEvent) => {
      if (!brings(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (!event.relatedTarget) setOver(false);
    };
    const drop = (event: DragEvent) => {
      if (!brings(event)) return;
      event.preventDefault();
      setOver(false);
      onFiles([...(event.dataTransfer?.files ?? [])]);
    };
    window.addEventListener("dragover", enter);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragover", enter);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
    };
  }, [onFiles]);
  return over ? <div className="sheet">{t.dropHere}</div> : null;
}

/** Of what is asked: label, kind and tokens. */
export function useMeasured(files: Files, readings: Readings) {
  const t = useStrings();
  const saved = readings.list.filter((one) => readings.picked.includes(one.name));
  return [
    ...saved.map((one) => ({
      key: one.name,
      label: one.displayName ?? t.unnamed,
      kind: t.kinds.reading,
      tokens: one.usageMetadata.totalTokenCount,
    })),
    ...asked(files.items).map((item) => ({
      key: item.key,
      label: item.label,
      kind: t.kinds[kindOf(item)],
      tokens: item.tokens ?? 0,
    })),
  ];
}

function kindOf(item: Item): "text" | "document" | "image" | "audio" | "video" {
  if (item.mimeType === "application/pdf") return "document";
  const [kind] = item.mimeType.split("/");
  return kind === "image" || kind === "audio" || kind === "video" ? kind : "text";
}
