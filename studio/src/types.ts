// SPDX-License-Identifier: Apache-2.0
// What the server sends, as far as the Studio looks at it, and what the Studio keeps.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface ServerFile {
  name: string;
  mimeType: string;
  sizeBytes: string;
  state: "PROCESSING" | "ACTIVE" | "FAILED";
  displayName?: string;
  expirationTime: string;
  error?: { message: string };
  metadata?: { tokenCount?: number; tokensRead?: number };
}

export interface SavedReading {
  name: string;
  displayName?: string;
  createTime: string;
  expireTime: string;
  usageMetadata: { totalTokenCount: number };
}

export interface Model {
  name: string;
  displayName: string;
  version: string;
  inputTokenLimit: number;
  outputTokenLimit: number;
}

export interface Place {
  part: string;
  line: number;
  column: number;
  startByte: number;
  endByte: number;
  time?: string;
  page?: number;
  medium?: string; // of a picture, sound or film, which have no lines
}

export interface Source {
  title: string;
  text: string;
  uri: string;
  place: Place;
}

export interface FunctionCall {
  name: string;
  args?: Json;
}

export interface Part {
  text?: string;
  fileData?: { fileUri: string; mimeType?: string };
  functionCall?: FunctionCall;
  inlineData?: { mimeType: string; data: string };
}

export interface Content {
  role: "user" | "model";
  parts: Part[];
}

export interface GenerateRequest {
  contents: Content[];
  cachedContent?: string;
  systemInstruction?: { parts: Part[] };
  generationConfig?: { [name: string]: Json };
  tools?: Json[];
  toolConfig?: Json;
}

export interface Usage {
  promptTokenCount: number;
  candidatesTokenCount?: number;
  cachedContentTokenCount?: number;
}

export interface Chunk {
  candidates?: {
    content?: { parts?: Part[] };
    finishReason?: string;
    groundingMetadata?: {
      groundingChunks: { retrievedContext: Source }[];
      groundingSupports: { confidenceScores: number[] }[];
    };
    citationMetadata?: unknown;
    safetyRatings?: unknown[];
  }[];
  promptFeedback?: { blockReason?: string };
  usageMetadata?: Usage;
  error?: { code: number; message: string; status: string };
}

/** Some lines of a part; `line` is the number of the first, `total` of all there are. */
export interface Lines {
  part: string;
  kind: string;
  line: number;
  page?: number;
  total: number;
  lines: string[];
  parts: string[];
}

/** A file among the context: on its way to the server, or there. */
export interface Item {
  key: string; // also the file's id on the server
  label: string;
  mimeType: string;
  bytes: number;
  state: "UPLOADING" | "PROCESSING" | "ACTIVE" | "FAILED" | "GONE";
  chosen: boolean;
  uploaded: number; // bytes
  tokens?: number; // of the whole, once known
  read?: number; // tokens
  perSecond?: number; // tokens
  error?: string;
  url?: string; // of a picture, sound or film, to be shown
}

export interface Settings {
  temperature: number;
  topP: number;
  topK: number;
  seed: number;
  maxOutputTokens: number;
  stopSequences: string;
  system: string;
  earlierTurns: boolean;
  format: "text" | "pictures" | "json" | "enum";
  schema: string;
  functions: string;
  calling: "AUTO" | "ANY" | "NONE";
}

export interface Turn {
  id: string;
  question: string;
  text: string;
  calls: FunctionCall[];
  pictures?: string[]; // drawn, as data URLs
  sources: Source[];
  weights: number[];
  cited: boolean;
  state: "waiting" | "streaming" | "done" | "stopped" | "failed";
  finish?: string;
  error?: string;
  usage?: Usage;
  firstMs?: number; // until the first piece
  totalMs?: number;
  within?: string; // the saved reading asked
  request: GenerateRequest;
}
