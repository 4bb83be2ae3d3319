// SPDX-License-Identifier: Apache-2.0

import { type ReactNode, useId } from "react";
import { Icon } from "./icons";
import { DEFAULTS } from "./request";
import {
  type Checked,
  checkFunctions,
  checkSchema,
  checkWords,
  FUNCTIONS_EXAMPLE,
  SCHEMA_EXAMPLE,
} from "./schema";
import { useStrings } from "./strings";
import type { Settings } from "./types";

interface Props {
  settings: Settings;
  outputLimit: number;
  onChange: (settings: Settings) => void;
  onClose: () => void;
}

export function SettingsPanel({ settings, outputLimit, onChange, onClose }: Props) {
  const t = useStrings();
  const set = (fields: Partial<Settings>) => onChange({ ...settings, ...fields });
  return (
    <section className="settings" aria-label={t.runSettings}>
      <header className="bar">
        <h2>{t.runSettings}</h2>
        <button type="button" className="quiet small" onClick={() => onChange(DEFAULTS)}>
          {t.reset}
        </button>
        <button type="button" className="quiet" aria-label={t.close} onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <div className="form">
        <label>
          {t.system}
          <textarea
            rows={3}
            value={settings.system}
            placeholder={t.systemHint}
            onChange={(event) => set({ system: event.target.value })}
          />
        </label>
        <label>
          <span className="split">
            {t.temperature} <output>{settings.temperature.toFixed(1)}</output>
          </span>
          <input
            type="range"
            min={0}
            max={2}
            step={0.1}
            value={settings.temperature}
            onChange={(event) => set({ temperature: Number(event.target.value) })}
          />
        </label>
        <Numeric
          label={t.maxOutputTokens}
          value={settings.maxOutputTokens}
          min={1}
          max={outputLimit}
          onValue={(maxOutputTokens) => set({ maxOutputTokens })}
        />
        <label className="check">
          <input
            type="checkbox"
            checked={settings.earlierTurns}
            onChange={(event) => set({ earlierTurns: event.target.checked })}
          />
          <span>
            {t.earlierTurns}
            <small>{t.earlierHint}</small>
          </span>
        </label>
        <Output settings={settings} set={set} />
        <Functions settings={settings} set={set} />
        <Sampling settings={settings} set={set} />
      </div>
    </section>
  );
}

interface Group {
  settings: Settings;
  set: (fields: Partial<Settings>) => void;
}

function Output({ settings, set }: Group) {
  const t = useStrings();
  const check = settings.format === "json" ? checkSchema : checkWords;
  return (
    <fieldset>
      <legend>{t.output}</legend>
      <select
        aria-label={t.output}
        value={settings.format}
        onChange={(event) => set({ format: event.target.value as Settings["format"] })}
      >
        {Object.entries(t.formats).map(([format, told]) => (
          <option key={format} value={format}>
            {told}
          </option>
        ))}
      </select>
      {(settings.format === "json" || settings.format === "enum") && (
        <Editor
          label={settings.format === "json" ? t.schema : t.words}
          text={settings.schema}
          checked={check(settings.schema, t)}
          example={settings.format === "json" ? SCHEMA_EXAMPLE : ""}
          onText={(schema) => set({ schema })}
        />
      )}
    </fieldset>
  );
}

function Functions({ settings, set }: Group) {
  const t = useStrings();
  return (
    <fieldset>
      <legend>{t.tools}</legend>
      <Editor
        label={t.functions}
        text={settings.functions}
        checked={checkFunctions(settings.functions, t)}
        example={FUNCTIONS_EXAMPLE}
        onText={(functions) => set({ functions })}
      />
      {settings.functions.trim() && (
        <label>
          {t.calling}
          <select
            value={settings.calling}
            onChange={(event) => set({ calling: event.target.value as Settings["calling"] })}
          >
            {Object.entries(t.callings).map(([mode, told]) => (
              <option key={mode} value={mode}>
                {told}
              </option>
            ))}
          </select>
        </label>
      )}
    </fieldset>
  );
}

function Sampling({ settings, set }: Group) {
  const t = useStrings();
  return (
    <details>
      <summary>{t.advanced}</summary>
      <Numeric
        label={t.topP}
        value={settings.topP}
        min={0}
        max={1}
        step={0.05}
        onValue={(topP) => set({ topP })}
      />
      <Numeric
        label={t.topK}
        value={settings.topK}
        min={0}
        max={1_000_000}
        onValue={(topK) => set({ topK })}
      />
      <Numeric
        label={t.seed}
        value={settings.seed}
        min={0}
        max={2 ** 31 - 1}
        onValue={(seed) => set({ seed })}
      />
      <label>
        {t.stopSequences}
        <textarea
          rows={2}
          value={settings.stopSequences}
          onChange={(event) => set({ stopSequences: event.target.value })}
        />
      </label>
    </details>
  );
}

interface NumericProps {
  label: ReactNode;
  value: number;
  min: number;
  max: number;
  step?: number;
  onValue: (value: number) => void;
}

/** A number within its bounds: what is outside becomes the nearest one inside. */
function Numeric({ label, value, min, max, step = 1, onValue }: NumericProps) {
  return (
    <label>
      {label}
      <input
        type="number"
        value={value}
        min={min}
        max={max}
        step={step}
        onChange={(event) => {
          const given = event.target.valueAsNumber;
          if (!Number.isNaN(given)) onValue(Math.min(max, Math.max(min, given)));
        }}
      />
    </label>
  );
}

interface EditorProps {
  label: string;
  text: string;
  checked: Checked;
  example: string;
  onText: (text: string) => void;
}

function Editor({ label, text, checked, example, onText }: EditorProps) {
  const t = useStrings();
  const told = useId();
  return (
    <div className="editor">
      <label>
        {label}
        <textarea
          className="code"
          rows={7}
          spellCheck={false}
          value={text}
          aria-invalid={Boolean(checked.problem)}
          aria-describedby={told}
          onChange={(event) => onText(event.target.value)}
        />
      </label>
      <p id={told} className={checked.problem ? "problem" : "dim"} aria-live="polite">
        {checked.problem ?? (checked.value === undefined ? "" : t.valid)}
      </p>
      {!text.trim() && example && (
        <button type="button" className="small" onClick={() => onText(example)}>
          {t.example}
        </button>
      )}
    </div>
  );
}
