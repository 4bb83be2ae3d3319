// SPDX-License-Identifier: Apache-2.0
// What is asked, as the body of generateContent, and as code that asks the same.

import { checkFunctions, checkSchema, checkWords, lines } from "./schema";
import type { Strings } from "./strings";
import type { Content, GenerateRequest, Item, Json, Settings, Turn } from "./types";

export const DEFAULTS: Settings = {
  temperature: 0,
  topP: 1,
  topK: 0,
  seed: 0,
  maxOutputTokens: 256,
  stopSequences: "",
  system: "",
  earlierTurns: false,
  format: "text",
  schema: "",
  functions: "",
  calling: "AUTO",
};

/** Files that are asked: ticked, and read or about to be. */
export function asked(items: Item[]): Item[] {
  return items.filter((item) => item.chosen && ["PROCESSING", "ACTIVE"].includes(item.state));
}

/** Why the settings cannot be sent; "" when they can. */
export function problem(settings: Settings, withReading: boolean, t: Strings): string {
  const functions = checkFunctions(settings.functions, t);
  if (functions.problem) return functions.problem;
  if (withReading && (settings.system.trim() || functions.value)) return t.notWithReading;
  if (settings.format === "text") return "";
  if (functions.value && settings.calling === "ANY") return t.notBoth;
  if (settings.format === "pictures") return "";
  const check = settings.format === "json" ? checkSchema : checkWords;
  return check(settings.schema, t).problem ?? "";
}

export function build(
  question: string,
  items: Item[],
  reading: string | undefined,
  settings: Settings,
  turns: Turn[],
  t: Strings,
): GenerateRequest {
  const files = asked(items).map((item) => ({ fileData: { fileUri: `files/${item.key}` } }));
  const said = settings.earlierTurns ? turns.filter((turn) => turn.state === "done") : [];
  const earlier = said.flatMap((turn): Content[] => [
    { role: "user", parts: [{ text: turn.question }] },
    { role: "model", parts: [{ text: turn.text || "-" }] },
  ]);
  const request: GenerateRequest = {
    contents: [...earlier, { role: "user", parts: [...files, { text: question }] }],
  };
  if (reading) request.cachedContent = reading;
  if (settings.system.trim()) request.systemInstruction = { parts: [{ text: settings.system }] };
  const config = generationConfig(settings, t);
  if (Object.keys(config).length) request.generationConfig = config;
  const functions = checkFunctions(settings.functions, t).value;
  if (functions) {
    request.tools = [{ functionDeclarations: functions }];
    request.toolConfig = { functionCallingConfig: { mode: settings.calling } };
  }
  return request;
}

/** What differs from the defaults. */
function generationConfig(settings: Settings, t: Strings): { [name: string]: Json } {
  const config: { [name: string]: Json } = {};
  for (const name of ["temperature", "topP", "topK", "seed", "maxOutputTokens"] as const) {
    if (settings[name] !== DEFAULTS[name]) config[name] = settings[name];
  }
  const stops = lines(settings.stopSequences);
  if (stops.length) config.stopSequences = stops;
  if (settings.format === "pictures") {
    config.responseModalities = ["TEXT", "IMAGE"];
  } else if (settings.format === "json") {
    config.responseMimeType = "application/json";
    config.responseJsonSchema = checkSchema(settings.schema, t).value ?? {};
  } else if (settings.format === "enum") {
    config.responseMimeType = "text/x.enum";
    const words = checkWords(settings.schema, t).value ?? [];
    config.responseSchema = { type: "STRING", enum: words };
  }
  return config;
}

export function curl(model: string, request: GenerateRequest, withKey: boolean): string {
  const body = JSON.stringify(request, null, 2).replaceAll("'", "'\\''");
  const key = withKey ? ` \\\n  -H "x-goog-api-key: $POLLUX_API_KEY"` : "";
  return `curl -s '${location.origin}/v1beta/${model}:generateContent' \\
  -H 'content-type: application/json'${key} \\
  -d '${body}'`;
}

/** For the google-genai SDK. `labels`: file names by uri, as comments. */
export function python(
  model: string,
  request: GenerateRequest,
  withKey: boolean,
  labels: Map<string, string>,
): string {
  const config: { [name: string]: Json } = {};
  if (request.cachedContent) config.cached_content = request.cachedContent;
  const system = request.systemInstruction?.parts[0]?.text;
  if (system) config.system_instruction = system;
  for (const [name, value] of Object.entries(request.generationConfig ?? {})) {
    config[snake(name)] = value;
  }
  if (request.tools) {
    config.tools = request.tools;
    config.tool_config = request.toolConfig ?? null;
  }
  const configured = Object.keys(config).length ? `\n    config=${literal(config, 4)},` : "";
  const key = withKey ? 'os.environ["POLLUX_API_KEY"]' : '"any"';
  return `${withKey ? "import os\n\n" : ""}from google import genai

client = genai.Client(api_key=${key}, http_options={"base_url": "${location.origin}"})
response = client.models.generate_content(
    model="${model.replace("models/", "")}",
    contents=${contents(request, labels)},${configured}
)
print(${request.tools ? "response.function_calls or response.text" : "response.text"})`;
}

function contents(request: GenerateRequest, labels: Map<string, string>): string {
  if (request.contents.length > 1) return literal(request.contents as unknown as Json, 4);
  const parts = (request.contents[0]?.parts ?? []).map((part) => {
    if (!part.fileData) return `        ${literal(part.text ?? "", 8)},`;
    const uri = part.fileData.fileUri;
    const label = labels.has(uri) ? `  # ${labels.get(uri)}` : "";
    return `        client.files.get(name=${literal(uri, 8)}),${label}`;
  });
  return `[\n${parts.join("\n")}\n    ]`;
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** JSON as a literal of Python. */
function literal(value: Json, indent: number): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const list = Array.isArray(value);
  const inner = list
    ? value.map((one) => literal(one, indent + 4))
    : Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${literal(v, indent + 4)}`);
  const [open, close] = list ? "[]" : "{}";
  if (!inner.length) return `${open}${close}`;
  const pad = " ".repeat(indent + 4);
  return `${open}\n${inner.map((one) => `${pad}${one},\n`).join("")}${" ".repeat(indent)}${close}`;
}
