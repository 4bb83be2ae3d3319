// SPDX-License-Identifier: Apache-2.0

import { useRef, useState } from "react";
import { hasKey } from "./api";
import { Dialog } from "./dialog";
import { curl, python } from "./request";
import { useStrings } from "./strings";
import type { GenerateRequest } from "./types";

interface Props {
  model: string;
  request: GenerateRequest;
  labels: Map<string, string>; // file names by uri
  onClose: () => void;
}

export function CodeDialog({ model, request, labels, onClose }: Props) {
  const t = useStrings();
  const [language, setLanguage] = useState<"python" | "curl">("python");
  const [copied, setCopied] = useState(false);
  const shown = useRef<HTMLPreElement>(null);
  const text =
    language === "python"
      ? python(model, request, hasKey(), labels)
      : curl(model, request, hasKey());
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
    } catch {
      if (shown.current) getSelection()?.selectAllChildren(shown.current); // to be copied by hand
    }
  };
  const choose = (wanted: "python" | "curl") => {
    setLanguage(wanted);
    setCopied(false);
  };
  return (
    <Dialog title={t.codeTitle} onClose={onClose} wide>
      <div className="bar">
        {(["python", "curl"] as const).map((name) => (
          <button
            key={name}
            type="button"
            className={name === language ? "tab current" : "tab"}
            aria-pressed={name === language}
            onClick={() => choose(name)}
          >
            {name === "python" ? "Python" : "curl"}
          </button>
        ))}
        <span className="room" />
        <button type="button" className="small" onClick={copy}>
          {copied ? t.copied : t.copy}
        </button>
      </div>
      {hasKey() && <p className="dim">{t.codeKey}</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys */}
      <pre ref={shown} className="snippet" tabIndex={0}>
        {text}
      </pre>
    </Dialog>
  );
}
