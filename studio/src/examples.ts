// SPDX-License-Identifier: Apache-2.0
// What there is to try: two small files, and the novel of the package with a sentence hidden in it.

import * as api from "./api";
import type { Strings } from "./strings";

export type Skill = keyof Strings["skills"];

const NOTES = `The access code for Berlin is 5591823. The access code for Paris is 7740216.
[00:12:40] ANNA: We should meet at the old mill after the rain, before anybody else comes.
柏林的秘密密码是4471。
`;
const MILL = `def grind_corn(sacks):
    return sacks * 2
`;

export const FORMS: Record<"en" | "zh-CN", Record<Skill, string>> = {
  en: {
    find: "What is the access code for Berlin?",
    several: "What is the access code for Berlin and the access code for Paris?",
    quote: 'Quote the passage that begins "We should meet at the old mill"',
    where: 'Where does it say "meet at the old mill after the rain"?',
    when: 'When was "We should meet at the old mill" said?',
    define: "Where is the function grind_corn defined?",
    absent: "What is the access code for Lima?",
  },
  "zh-CN": {
    find: "柏林的秘密密码是什么？",
    several: "What is the access code for Berlin and the access code for Paris?",
    quote: "请引用以“柏林的秘密密码”开头的段落。",
    where: "“柏林的秘密密码”在哪里？",
    when: "什么时候说了“We should meet at the old mill”？",
    define: "哪个文件定义了 grind_corn？",
    absent: "利马的秘密密码是什么？",
  },
};

export const NOVEL_QUESTIONS = [
  "What is the special magic Paris number?",
  'Quote the passage that begins "Can one be calm in times like these"',
  'Where does it say "so Genoa and Lucca are now just family estates"?',
  "What is the special magic Casablanca number?",
];

const CHARACTERS = 3.2; // of a token, at least, in the novel
const NOVEL_TOKENS = 950_000; // a little more than it has
const SHARE = 0.9; // of the server's limit

export function samples(): File[] {
  return [
    new File([NOTES], "notes.txt", { type: "text/plain" }),
    new File([MILL], "mill.py", { type: "text/x-python" }),
  ];
}

/** Tokens of the novel that fit, about; undefined for all. */
export function novelTokens(limit: number): number | undefined {
  return limit > NOVEL_TOKENS ? undefined : Math.floor((limit * SHARE) / 1000) * 1000;
}

/** As much of the novel as fits, ended with a paragraph, and a number hidden in its middle. */
export async function novel(limit: number): Promise<File> {
  let text = await api.novel();
  const tokens = novelTokens(limit);
  if (tokens) text = text.slice(0, text.lastIndexOf("\n\n", tokens * CHARACTERS) + 1);
  const middle = text.indexOf("\n\n", text.length / 2) + 1;
  const [random = 0] = crypto.getRandomValues(new Uint32Array(1));
  const hidden = `The special magic Paris number is: ${1_000_000 + (random % 9_000_000)}.\n`;
  text = text.slice(0, middle) + hidden + text.slice(middle);
  return new File([text], "war-and-peace.txt", { type: "text/plain" });
}
