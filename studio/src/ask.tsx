// SPDX-License-Identifier: Apache-2.0
// The page on which questions are asked: context, conversation, and a panel beside it.

import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { Answer, type Target } from "./answer";
import { CodeDialog } from "./code";
import { Composer, useTotal } from "./composer";
import { Context, DropSheet, useMeasured } from "./context";
import { useConversation } from "./conversation";
import * as examples from "./examples";
import { useFiles } from "./files";
import { Icon } from "./icons";
import { Passage } from "./passage";
import { useReadings } from "./readings";
import { asked, build, DEFAULTS, problem } from "./request";
import { SettingsPanel } from "./settings";
import { useStored } from "./stored";
import { useStrings } from "./strings";
import type { Item, Model, Settings, Turn } from "./types";
import { Welcome } from "./welcome";

interface Props {
  model: Model | undefined;
  onKeyWanted: () => void;
}

type Panel = { kind: "settings" } | { kind: "passage"; target: Target };

export function Ask({ model, onKeyWanted }: Props) {
  const t = useStrings();
  const files = useFiles(model?.name);
  const readings = useReadings(model?.name);
  const conversation = useConversation(onKeyWanted);
  const [settings, setSettings] = useStored<Settings>("pollux-settings", DEFAULTS);
  const [question, setQuestion] = useStored("pollux-question", "");
  const [panel, setPanel] = useState<Panel>();
  const [drawer, setDrawer] = useState(false); // the context, where there is no room for it
  const [coding, setCoding] = useState(false);
  const [notice, setNotice] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const opener = useRef<HTMLElement | null>(null);

  const { picked } = readings;
  const request = useMemo(
    () => build(question, files.items, picked[0], settings, conversation.turns, t),
    [question, files.items, picked, settings, conversation.turns, t],
  );
  const parts = useMeasured(files, readings);
  const known = parts.reduce((sum, part) => sum + part.tokens, 0);
  const counted = useTotal(model?.name, request, known);
  const wrong = problem(settings, picked.length > 0, t);

  const show = (wanted: Panel) => {
    opener.current = document.activeElement as HTMLElement | null;
    setDrawer(false);
    setPanel(wanted);
  };
  const close = useCallback(() => {
    setPanel(undefined);
    opener.current?.focus();
  }, []);
  const send = async (text: string, items: Item[] = files.items) => {
    if (!model || !text.trim()) return;
    try {
      const reading = await readings.together();
      setNotice("");
      setQuestion("");
      const body = build(text.trim(), items, reading, settings, conversation.turns, t);
      await conversation.ask(model.name, text.trim(), body);
    } catch (error) {
      setNotice((error as Error).message);
    }
  };
  // A form asks at once where there is something to ask, and brings it along where there is not.
  const [waiting, setWaiting] = useState("");
  const form = (text: string) => {
    if (asked(files.items).length || picked.length) return void send(text);
    files.add(examples.samples());
    setWaiting(text);
  };
  useEffect(() => {
    const here = files.items.filter((item) => item.chosen);
    if (!waiting || !here.length || here.some((item) => item.state !== "ACTIVE")) return;
    setWaiting("");
    send(waiting);
  });
  const tryNovel = async () => {
    if (!model) return;
    for (const item of asked(files.items)) files.toggle(item.key);
    await examples
      .novel(model.inputTokenLimit)
      .then((file) => files.add([file]))
      .catch((error: Error) => setNotice(error.message || t.offline));
  };
  useKeys({ field, running: conversation.running, onStop: conversation.stop, onClose: close });

  const labels = new Map(files.items.map((item) => [`files/${item.key}`, item.label]));
  const last = conversation.turns.at(-1);
  return (
    <div className={panel ? "ask beside" : "ask"}>
      <aside className={drawer ? "context open" : "context"} aria-label={t.context}>
        <button
          type="button"
          className="quiet only-narrow"
          aria-label={t.close}
          onClick={() => setDrawer(false)}
        >
          <Icon name="close" />
        </button>
        <Context
          files={files}
          readings={readings}
          onProblem={setNotice}
          onLook={(name) =>
            show({ kind: "passage", target: { name, part: "", line: 1, within: "" } })
          }
        />
      </aside>
      <main className="talk" id="main">
        <div className="bar tools">
          <button
            type="button"
            className="small only-narrow"
            aria-expanded={drawer}
            onClick={() => setDrawer(!drawer)}
          >
            <Icon name="context" /> {t.context} <span className="count">{parts.length}</span>
          </button>
          <span className="room" />
          {conversation.turns.length > 0 && (
            <button type="button" className="quiet small" onClick={conversation.clear}>
              <Icon name="trash" /> <span>{t.clear}</span>
            </button>
          )}
          <button type="button" className="quiet small" onClick={() => setCoding(true)}>
            <Icon name="code" /> <span>{t.getCode}</span>
          </button>
          <button
            type="button"
            className="quiet small"
            aria-expanded={panel?.kind === "settings"}
            onClick={() => (panel?.kind === "settings" ? close() : show({ kind: "settings" }))}
          >
            <Icon name="settings" /> <span>{t.settings}</span>
          </button>
        </div>
        <Turns turns={conversation.turns}>
          {conversation.turns.length === 0 && (
            <Welcome
              limit={model?.inputTokenLimit ?? 131_072}
              novelOpen={asked(files.items).some((item) => item.label === "war-and-peace.txt")}
              onForm={form}
              onSamples={() => files.add(examples.samples())}
              onNovel={tryNovel}
            />
          )}
          {conversation.turns.map((turn) => (
            <Answer
              key={turn.id}
              turn={turn}
              labels={labels}
              onOpen={(target) => show({ kind: "passage", target })}
              onRetry={() => send(turn.question)}
            />
          ))}
        </Turns>
        <Composer
          question={question}
          field={field}
          running={conversation.running}
          problem={wrong || notice}
          total={picked.length > 1 ? undefined : counted}
          limit={model?.inputTokenLimit ?? 131_072}
          parts={parts}
          onQuestion={(text) => {
            setNotice("");
            setQuestion(text);
          }}
          onSend={() => send(question)}
          onStop={conversation.stop}
        />
      </main>
      {panel && (
        <aside className="panel" aria-label={t.passage}>
          {panel.kind === "settings" ? (
            <SettingsPanel
              settings={settings}
              outputLimit={model?.outputTokenLimit ?? 8_192}
              onChange={setSettings}
              onClose={close}
            />
          ) : (
            <Passage target={panel.target} items={files.items} onClose={close} />
          )}
        </aside>
      )}
      <DropSheet onFiles={files.add} />
      {coding && model && (
        <CodeDialog
          model={model.name}
          request={question.trim() || !last ? request : last.request}
          labels={labels}
          onClose={() => setCoding(false)}
        />
      )}
    </div>
  );
}

/** Stays at the end while answers come in. */
function Turns({ turns, children }: { turns: Turn[]; children: React.ReactNode }) {
  const t = useStrings();
  const list = useRef<HTMLDivElement>(null);
  const last = turns.at(-1);
  // biome-ignore lint/correctness/useExhaustiveDependencies: whatever is added
  useEffect(() => {
    if (last) list.current?.scrollTo({ top: list.current.scrollHeight });
  }, [last?.id, last?.text, last?.state]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
    <div className="turns" ref={list} role="log" aria-label={t.conversation} tabIndex={0}>
      {children}
    </div>
  );
}

interface Keys {
  field: React.RefObject<HTMLTextAreaElement | null>;
  running: boolean;
  onStop: () => void;
  onClose: () => void;
}

/** "/" goes to the question; Esc stops the answer, or else closes the panel. */
function useKeys({ field, running, onStop, onClose }: Keys) {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const typing = (event.target as HTMLElement).closest("input, textarea, select, dialog");
      if (event.key === "/" && !typing) {
        event.preventDefault();
        field.current?.focus();
      } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
        if (running) onStop();
        else onClose();
      }
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [field, running, onStop, onClose]);
}
