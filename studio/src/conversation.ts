// SPDX-License-Identifier: Apache-2.0
// Questions and their answers as they stream in; one is made at a time.

import { useCallback, useRef } from "react";
import * as api from "./api";
import { useStored } from "./stored";
import type { Chunk, GenerateRequest, Turn } from "./types";

const KEPT = 50; // turns

export interface Conversation {
  turns: Turn[];
  running: boolean;
  ask: (model: string, question: string, request: GenerateRequest) => Promise<void>;
  stop: () => void;
  clear: () => void;
}

export function useConversation(onKeyWanted: () => void): Conversation {
  const [stored, setTurns] = useStored<Turn[]>("pollux-turns", []);
  const current = useRef<{ id: string; abort: AbortController } | null>(null);
  // After a reload nothing goes on.
  const turns = stored.map((turn) =>
    isRunning(turn) && turn.id !== current.current?.id
      ? { ...turn, state: "stopped" as const }
      : turn,
  );

  const ask = useCallback(
    async (model: string, question: string, request: GenerateRequest) => {
      const id = `${Date.now()}`;
      const abort = new AbortController();
      current.current = { id, abort };
      let turn = begun(id, question, request);
      setTurns((old) => [...old, turn].slice(-KEPT));
      const show = (fields: Partial<Turn>) => {
        turn = { ...turn, ...fields };
        const shown = turn;
        setTurns((old) => old.map((one) => (one.id === id ? shown : one)));
      };
      const start = performance.now();
      try {
        for await (const chunk of api.stream(model, request, abort.signal)) {
          const ms = performance.now() - start;
          show({ ...added(turn, chunk), firstMs: turn.firstMs ?? ms, totalMs: ms });
        }
        show({ state: "done" });
      } catch (error) {
        if (abort.signal.aborted) {
          show({ state: "stopped" });
        } else {
          const failure = error as api.ApiFailure;
          show({ state: "failed", error: failure.message });
          if (failure.code === 401) onKeyWanted();
        }
      } finally {
        if (current.current?.id === id) current.current = null;
      }
    },
    [setTurns, onKeyWanted],
  );

  const stop = useCallback(() => current.current?.abort.abort(), []);
  const clear = useCallback(() => {
    stop();
    setTurns([]);
  }, [setTurns, stop]);
  return { turns, running: turns.some(isRunning), ask, stop, clear };
}

function isRunning(turn: Turn): boolean {
  return turn.state === "waiting" || turn.state === "streaming";
}

function begun(id: string, question: string, request: GenerateRequest): Turn {
  return {
    id,
    question,
    request,
    text: "",
    calls: [],
    sources: [],
    weights: [],
    cited: false,
    state: "waiting",
    within: request.cachedContent,
  };
}

function added(turn: Turn, chunk: Chunk): Partial<Turn> {
  const candidate = chunk.candidates?.[0];
  const parts = candidate?.content?.parts ?? [];
  const grounding = candidate?.groundingMetadata;
  const calls = parts.flatMap((part) => part.functionCall ?? []);
  const drawn = parts.flatMap(({ inlineData }) =>
    inlineData?.mimeType.startsWith("image/")
      ? `data:${inlineData.mimeType};base64,${inlineData.data}`
      : [],
  );
  return {
    state: "streaming",
    text: turn.text + parts.map((part) => part.text ?? "").join(""),
    calls: [...turn.calls, ...calls],
    ...(drawn.length && { pictures: [...(turn.pictures ?? []), ...drawn] }),
    usage: chunk.usageMetadata ?? turn.usage,
    finish: candidate?.finishReason ?? (chunk.promptFeedback?.blockReason ? "SAFETY" : turn.finish),
    cited: turn.cited || Boolean(candidate?.citationMetadata),
    ...(grounding && {
      sources: grounding.groundingChunks.map((one) => one.retrievedContext),
      weights: grounding.groundingSupports[0]?.confidenceScores ?? [],
    }),
  };
}
