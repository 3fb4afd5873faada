import { modelName, status } from "../model/serving.ts";
import { change } from "../model/settings.ts";
import type { Opened } from "./app.tsx";
import { Icon } from "./icons.tsx";
import { t } from "./say.ts";

interface HeaderProps {
  readonly open: (what: Opened) => void;
  readonly liveShown: boolean;
  readonly isWide: boolean;
}

export function Header({ open, liveShown, isWide }: HeaderProps) {
  const names = status.value?.models.map(({ name }) => name) ?? [];
  const name = modelName.value;
  return (
    <header class="head">
      {!isWide && (
        <button type="button" class="icon-button" aria-label={t("openMenu")} onClick={() => open("menu")}>
          <Icon name="menu" />
        </button>
      )}
      <h1 class="brand">grok1</h1>
      {names.length > 1 && (
        <select
          class="model-choice"
          aria-label={t("models")}
          value={name}
          onChange={(event) => change({ model: event.currentTarget.value })}
        >
          {names.map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
        </select>
      )}
      {name !== undefined && (
        <button type="button" class="model-name" onClick={() => open("details")} title={t("details")}>
          <span class="unseen">{t("openDetails", { model: name })}</span>
          <span aria-hidden="true">{names.length > 1 ? "…" : name}</span>
        </button>
      )}
      <span class="space" />
      <button
        type="button"
        class="icon-button labelled"
        aria-pressed={isWide ? liveShown : undefined}
        onClick={() => open("live")}
      >
        <Icon name="live" />
        <span>{t("openLive")}</span>
      </button>
      <button type="button" class="icon-button" aria-label={t("openSettings")} onClick={() => open("settings")}>
        <Icon name="settings" />
      </button>
    </header>
  );
}
