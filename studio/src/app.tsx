// SPDX-License-Identifier: Apache-2.0
// The frame: header, pages, language and theme; who may ask, and whether the server is there.

import { useCallback, useEffect, useState } from "react";
import * as api from "./api";
import { Ask } from "./ask";
import { KeyDialog } from "./dialog";
import { GridPage } from "./grid";
import { Icon } from "./icons";
import { useStored } from "./stored";
import { type Language, languages, preferred, StringsContext, useStrings } from "./strings";
import type { Model } from "./types";

const RETRY = 3_000; // ms between looks for a server that does not answer
const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

export function App() {
  const [language, setLanguage] = useStored<Language>("pollux-language", preferred(), localStorage);
  const [theme, setTheme] = useStored<Theme>("pollux-theme", "auto", localStorage);
  const page = usePage();
  const server = useServer();
  const strings = languages[language];
  useEffect(() => {
    document.documentElement.lang = strings.code;
  }, [strings]);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  return (
    <StringsContext value={strings}>
      <div className="frame">
        <Header
          page={page}
          server={server}
          theme={theme}
          onTheme={setTheme}
          onLanguage={() => setLanguage(language === "en" ? "zh" : "en")}
        />
        {page === "grid" ? <GridPage /> : <Ask model={server.model} onKeyWanted={server.wantKey} />}
      </div>
      {server.keyWanted && <KeyDialog wrong={server.keyWanted === "again"} onKey={server.tryKey} />}
    </StringsContext>
  );
}

function named(): "ask" | "grid" {
  return location.hash === "#grid" ? "grid" : "ask";
}

/** The page is said by the address, so that it can be gone back to. */
function usePage(): "ask" | "grid" {
  const [page, setPage] = useState(named);
  useEffect(() => {
    const change = () => setPage(named());
    window.addEventListener("hashchange", change);
    return () => window.removeEventListener("hashchange", change);
  }, []);
  return page;
}

interface Server {
  model: Model | undefined;
  offline: boolean;
  keyWanted: "" | "first" | "again";
  wantKey: () => void;
  tryKey: (key: string) => void;
}

function useServer(): Server {
  const [model, setModel] = useState<Model>();
  const [offline, setOffline] = useState(false);
  const [keyWanted, setKeyWanted] = useState<"" | "first" | "again">("");
  const wantKey = useCallback(() => setKeyWanted(api.hasKey() ? "again" : "first"), []);
  const look = useCallback(async () => {
    try {
      setModel((await api.models())[0]);
      setOffline(false);
      setKeyWanted("");
    } catch (error) {
      const unknown = (error as api.ApiFailure).code === 401;
      if (unknown) wantKey();
      setOffline(!unknown);
    }
  }, [wantKey]);
  useEffect(() => {
    look();
  }, [look]);
  useEffect(() => {
    if (!offline) return;
    const timer = setInterval(look, RETRY);
    return () => clearInterval(timer);
  }, [offline, look]);
  const tryKey = useCallback(
    (key: string) => {
      api.setKey(key);
      look();
    },
    [look],
  );
  return { model, offline, keyWanted, wantKey, tryKey };
}

interface HeaderProps {
  page: "ask" | "grid";
  server: Server;
  theme: Theme;
  onTheme: (theme: Theme) => void;
  onLanguage: () => void;
}

function Header({ page, server, theme, onTheme, onLanguage }: HeaderProps) {
  const t = useStrings();
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
  return (
    <>
      {page === "ask" && (
        <a className="skip" href="#question">
          {t.skip}
        </a>
      )}
      <header className="top">
        <span className="brand">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <circle className="castor" cx="10" cy="10" r="3.4" />
            <circle className="pollux" cx="21" cy="21" r="6" />
            <path d="M12.6 12.6 16.6 16.6" />
          </svg>
          Pollux <b>Studio</b>
        </span>
        <nav aria-label={t.pages}>
          <a href="#ask" aria-current={page === "ask" ? "page" : undefined}>
            {t.ask}
          </a>
          <a href="#grid" aria-current={page === "grid" ? "page" : undefined}>
            {t.grid}
          </a>
        </nav>
        <span className="room" />
        <span className="server" title={server.model?.displayName}>
          {server.model ? server.model.name.replace("models/", "") : t.connecting}
        </span>
        <button
          type="button"
          className="quiet"
          aria-label={t.theme[theme]}
          title={t.theme[theme]}
          onClick={() => onTheme(next)}
        >
          <Icon name={theme} />
        </button>
        <button
          type="button"
          className="quiet language"
          lang={t.code === "en" ? "zh-CN" : "en"}
          aria-label={t.otherLabel}
          onClick={onLanguage}
        >
          {t.other}
        </button>
      </header>
      {server.offline && (
        <p className="offline" role="alert">
          {t.offline}
        </p>
      )}
    </>
  );
}
