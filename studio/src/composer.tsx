// SPDX-License-Identifier: Apache-2.0
// The question, and what it and its context come to.

import { type RefObject, useEffect, useState } from "react";
import * as api from "./api";
import { Icon } from "./icons";
import { useStrings } from "./strings";
import type { GenerateRequest } from "./types";

const PAUSE = 350; // ms of not typing before tokens are counted

export interface Measured {
  key: string;
  label: string;
  kind: string;
  tokens: number;
}

interface Props {
  question: string;
  field: RefObject<HTMLTextAreaElement | null>;
  running: boolean;
  problem: string;
  total: number | undefined; // tokens of the request
  limit: number; // tokens
  parts: Measured[];
  onQuestion: (question: string) => void;
  onSend: () => void;
  onStop: () => void;
}

export function Composer(props: Props) {
  const { question, field, running, problem, total, limit, parts } = props;
  const t = useStrings();
  const over = (total ?? 0) > limit;
  const able = question.trim() !== "" && !problem && !over;
  return (
    <form
      className="composer"
      aria-label={t.question}
      onSubmit={(event) => {
        event.preventDefault();
        if (able && !running) props.onSend();
      }}
    >
      <Meter total={total} limit={limit} parts={parts} />
      {(problem || over) && (
        <p className="problem" role="alert">
          {problem || t.tooLong}
        </p>
      )}
      <div className="entry">
        <textarea
          ref={field}
          id="question"
          rows={2}
          value={question}
          aria-label={t.question}
          aria-keyshortcuts="/"
          placeholder={t.placeholder}
          onChange={(event) => props.onQuestion(event.target.value)}
          onKeyDown={(event) => {
            const send = event.key === "Enter" && (event.ctrlKey || event.metaKey);
            if (!send || event.nativeEvent.isComposing) return;
            event.preventDefault();
            event.currentTarget.form?.requestSubmit();
          }}
        />
        {running ? (
          <button type="button" className="primary" onClick={props.onStop}>
            <Icon name="stop" /> {t.stop} <kbd>Esc</kbd>
          </button>
        ) : (
          <button
            type="submit"
            className="primary"
            disabled={!able}
            aria-keyshortcuts="Control+Enter"
          >
            <Icon name="send" /> {t.send} <kbd>{t.sendHint}</kbd>
          </button>
        )}
      </div>
    </form>
  );
}

interface MeterProps {
  total: number | undefined;
  limit: number;
  parts: Measured[];
}

function Meter({ total, limit, parts }: MeterProps) {
  const t = useStrings();
  const known = parts.reduce((sum, part) => sum + part.tokens, 0);
  const whole = total ?? known;
  const told = t.of(t.number(whole), t.number(limit));
  const rest = { key: "rest", label: t.questionPart, kind: "", tokens: Math.max(0, whole - known) };
  const shown = [...parts, rest].filter((part) => part.tokens > 0);
  return (
    <details className={whole > limit ? "meter over" : "meter"}>
      <summary>
        <span className="track" aria-hidden="true">
          {shown.map((part, index) => (
            <span
              key={part.key}
              className={`shade${index % 4}`}
              style={{ width: `${Math.min(100, (part.tokens / limit) * 100)}%` }}
            />
          ))}
        </span>
        <span className="hidden">{t.meter}: </span>
        <span className="told">{told}</span>
      </summary>
      <table>
        <caption className="hidden">{t.meterParts}</caption>
        <tbody>
          {shown.map((part, index) => (
            <tr key={part.key}>
              <th scope="row">
                <span className={`dot shade${index % 4}`} aria-hidden="true" /> {part.label}
              </th>
              <td>{part.kind}</td>
              <td className="figure">{t.tokens(part.tokens)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

/** Tokens of a request, asked of the server when it has been left alone a moment. */
export function useTotal(model: string | undefined, request: GenerateRequest, known: number) {
  const [total, setTotal] = useState<number>();
  const last = request.contents.at(-1)?.parts ?? [];
  const asks = last.some((part) => part.fileData || part.text?.trim());
  const body = asks ? JSON.stringify({ ...request, generationConfig: undefined }) : "";
  // biome-ignore lint/correctness/useExhaustiveDependencies: what was read meanwhile counts anew
  useEffect(() => {
    if (!model || !body) {
      setTotal(undefined);
      return;
    }
    const abort = new AbortController();
    const timer = setTimeout(() => {
      api.countTokens(model, JSON.parse(body), abort.signal).then(setTotal, () => {
        if (!abort.signal.aborted) setTotal(undefined);
      });
    }, PAUSE);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [model, body, known]);
  return total;
}
