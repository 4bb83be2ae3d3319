// SPDX-License-Identifier: Apache-2.0

import { type ReactNode, useEffect, useId, useRef } from "react";
import { Icon } from "./icons";
import { useStrings } from "./strings";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
}

/** The browser's own modal: it keeps the focus, Esc closes it, and the focus goes back after. */
export function Dialog({ title, onClose, children, wide }: Props) {
  const t = useStrings();
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className={wide ? "dialog wide" : "dialog"}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" className="quiet" aria-label={t.close} onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      {children}
    </dialog>
  );
}

export function KeyDialog({ wrong, onKey }: { wrong: boolean; onKey: (key: string) => void }) {
  const t = useStrings();
  const problem = useId();
  return (
    <Dialog title={t.keyTitle} onClose={() => {}}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          onKey(String(new FormData(event.currentTarget).get("key")).trim());
        }}
      >
        <p className="dim">{t.keyHint}</p>
        <label>
          {t.keyLabel}
          <input
            name="key"
            type="password"
            autoComplete="off"
            required
            aria-invalid={wrong}
            aria-describedby={wrong ? problem : undefined}
          />
        </label>
        {wrong && (
          <p className="problem" id={problem} role="alert">
            {t.keyWrong}
          </p>
        )}
        <div className="actions">
          <button type="submit" className="primary">
            {t.keySend}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
