// SPDX-License-Identifier: Apache-2.0
// Where nothing was asked yet: what can be, with one click.

import { FORMS, NOVEL_QUESTIONS, novelTokens, type Skill } from "./examples";
import { useStrings } from "./strings";

interface Props {
  limit: number; // tokens
  novelOpen: boolean; // the novel is what will be asked
  onForm: (question: string) => void;
  onSamples: () => void;
  onNovel: () => void;
}

export function Welcome({ limit, novelOpen, onForm, onSamples, onNovel }: Props) {
  const t = useStrings();
  const forms = FORMS[t.code as "en" | "zh-CN"];
  const tokens = novelTokens(limit);
  return (
    <div className="welcome">
      <h1>{t.heading}</h1>
      <p>{t.intro}</p>
      <div className="tries">
        <button type="button" onClick={onSamples}>
          <b>{t.trySample}</b>
          <span className="dim">notes.txt, mill.py</span>
        </button>
        <button type="button" onClick={onNovel}>
          <b>{t.tryNovel}</b>
          <span className="dim">{tokens ? t.novelPart(tokens) : t.novelWhole}</span>
        </button>
      </div>
      <h2 className="small-title">{t.forms}</h2>
      <ul className="forms">
        {novelOpen
          ? NOVEL_QUESTIONS.map((question) => (
              <li key={question}>
                <button type="button" onClick={() => onForm(question)}>
                  <span className="example">{question}</span>
                </button>
              </li>
            ))
          : (Object.keys(forms) as Skill[]).map((skill) => (
              <li key={skill}>
                <button type="button" onClick={() => onForm(forms[skill])}>
                  <b>{t.skills[skill]}</b>
                  <span className="example">{forms[skill]}</span>
                </button>
              </li>
            ))}
      </ul>
      <p className="dim">{t.tips}</p>
    </div>
  );
}
