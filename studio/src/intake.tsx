// SPDX-License-Identifier: Apache-2.0
// Dialogs that make a file of pasted text, and a saved reading of files.

import { useState } from "react";
import { Dialog } from "./dialog";
import type { Readings } from "./readings";
import { useStrings } from "./strings";
import type { Item } from "./types";

interface PasteProps {
  onClose: () => void;
  onText: (file: File) => void;
}

export function PasteDialog({ onClose, onText }: PasteProps) {
  const t = useStrings();
  return (
    <Dialog title={t.pasteTitle} onClose={onClose} wide>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          const given = new FormData(event.currentTarget);
          const name = String(given.get("name"));
          onText(new File([String(given.get("text"))], name, { type: "text/plain" }));
          onClose();
        }}
      >
        <label>
          {t.pasteName}
          <input name="name" defaultValue={t.pasteDefault} required maxLength={100} />
        </label>
        <label>
          {t.pasteText_}
          <textarea name="text" rows={12} required />
        </label>
        <div className="actions">
          <button type="button" className="quiet" onClick={onClose}>
            {t.cancel}
          </button>
          <button type="submit" className="primary">
            {t.pasteAdd}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface SaveProps {
  files: Item[];
  readings: Readings;
  onClose: () => void;
}

export function SaveDialog({ files, readings, onClose }: SaveProps) {
  const t = useStrings();
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const name = files.map((item) => item.label.replace(/\.[^.]+$/, "")).join(", ");
  const save = async (given: FormData) => {
    setBusy(true);
    try {
      const uris = files.map((item) => `files/${item.key}`);
      await readings.save(String(given.get("name")), uris, String(given.get("ttl")));
      onClose();
    } catch (error) {
      setProblem((error as Error).message);
      setBusy(false);
    }
  };
  return (
    <Dialog title={t.saveTitle} onClose={onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          save(new FormData(event.currentTarget));
        }}
      >
        <p className="dim">{t.saveHint(files.length)}</p>
        <label>
          {t.saveName}
          <input name="name" defaultValue={name.slice(0, 60)} required maxLength={128} />
        </label>
        <label>
          {t.saveFor}
          <select name="ttl" defaultValue="86400s">
            {Object.entries(t.keepFor).map(([ttl, told]) => (
              <option key={ttl} value={ttl}>
                {told}
              </option>
            ))}
          </select>
        </label>
        {problem && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <div className="actions">
          <button type="button" className="quiet" onClick={onClose}>
            {t.cancel}
          </button>
          <button type="submit" className="primary" disabled={busy}>
            {t.saved}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
