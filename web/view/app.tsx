import { signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { announced } from "../model/announcements.ts";
import { answering, stop } from "../model/answering.ts";
import { titleOf } from "../model/conversation.ts";
import { current } from "../model/conversations.ts";
import { key } from "../model/serving.ts";
import { change, settings, wide } from "../model/settings.ts";
import { Composer } from "./composer.tsx";
import { ConversationView } from "./conversation.tsx";
import { Details } from "./details.tsx";
import { Dialog } from "./dialog.tsx";
import { Header } from "./header.tsx";
import { KeyDialog } from "./key.tsx";
import { Live } from "./live.tsx";
import { t } from "./say.ts";
import { SettingsDialog } from "./settings.tsx";
import { Sidebar } from "./sidebar.tsx";
import { StatusLine } from "./status.tsx";

/** Whether there is place for everything beside each other. */
const isWide = signal(wide.matches);
wide.addEventListener("change", () => {
  isWide.value = wide.matches;
});

export type Opened = "menu" | "live" | "settings" | "details" | undefined;

export function App() {
  const opened = useSignal<Opened>(undefined);
  const { live } = settings.value;
  const close = () => {
    opened.value = undefined;
  };

  const title = titleOf(current.value);
  useEffect(() => {
    document.title = title === undefined ? "grok1" : `${title} · grok1`;
  }, [title]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape" && answering.value !== undefined && document.querySelector("dialog[open]") === null) {
        event.preventDefault();
        stop();
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);

  const open = (what: Opened) => {
    if (what !== "live") opened.value = what;
    else if (isWide.value) change({ live: !live });
    else {
      // What is looked at has to be asked for.
      change({ live: true });
      opened.value = "live";
    }
  };

  return (
    <div class={`app${isWide.value ? " wide" : ""}${isWide.value && live ? " with-live" : ""}`}>
      <Header open={open} liveShown={isWide.value && live} isWide={isWide.value} />
      {isWide.value && (
        <nav class="side" aria-label={t("conversations")}>
          <Sidebar onChoose={close} />
        </nav>
      )}
      <main class="main">
        <ConversationView />
        <div class="foot">
          <Composer />
          <StatusLine />
        </div>
      </main>
      {isWide.value && live && (
        <aside class="live-side" aria-label={t("liveTitle")}>
          <h2>{t("liveTitle")}</h2>
          <Live />
        </aside>
      )}
      {!isWide.value && opened.value === "menu" && (
        <Dialog title={t("conversations")} kind="drawer-left" onClose={close}>
          <Sidebar onChoose={close} />
        </Dialog>
      )}
      {!isWide.value && opened.value === "live" && (
        <Dialog title={t("liveTitle")} kind="drawer-right" onClose={close}>
          <Live />
        </Dialog>
      )}
      {opened.value === "settings" && <SettingsDialog onClose={close} />}
      {opened.value === "details" && <Details onClose={close} />}
      {key.value.wanted && <KeyDialog />}
      <div class="unseen" role="status" aria-live="polite">
        {announced.value}
      </div>
    </div>
  );
}
