// SPDX-License-Identifier: Apache-2.0
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `npm run dev` serves the page; the API is that of a `pollux serve` beside it.
const server = "http://127.0.0.1:8000";
const proxied = { target: server, changeOrigin: true, headers: { origin: server } };

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../pollux/studio",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the page's security policy allows nothing inline
    modulePreload: { polyfill: false },
    license: { fileName: "licenses.md" },
  },
  server: {
    proxy: Object.fromEntries(["/v1beta", "/upload", "/studio/"].map((path) => [path, proxied])),
  },
});
