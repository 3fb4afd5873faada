import type { Sampling } from "../model/server.ts";
import { details } from "../model/serving.ts";
import { adapterStrengths, change, type Settings, settings, type Theme } from "../model/settings.ts";
import { type Language, languages, say, sayNumber } from "../text/strings.ts";
import { Dialog } from "./dialog.tsx";
import { t } from "./say.ts";

/** Ranges as the server has them. */
const samplings = [
  ["temperature", "temperature", { min: 0, max: 100, step: 0.05 }],
  ["top_p", "topP", { min: 0, max: 1, step: 0.01 }],
  ["top_k", "topK", { min: 0, step: 1 }],
  ["min_p", "minP", { min: 0, max: 1, step: 0.01 }],
  ["repetition_penalty", "repetitionPenalty", { min: 0.01, step: 0.01 }],
] as const satisfies readonly (readonly [keyof Sampling, string, object])[];

export function SettingsDialog({ onClose }: { readonly onClose: () => void }) {
  const { language, theme, system } = settings.value;
  const sampling = details.value?.sampling;
  return (
    <Dialog title={t("settings")} onClose={onClose}>
      <form class="fields" onSubmit={(event) => event.preventDefault()}>
        <fieldset>
          <legend>{t("behaviour")}</legend>
          <label>
            <span>{t("systemPrompt")}</span>
            <textarea
              rows={3}
              value={system}
              aria-describedby="system-help"
              onInput={(event) => change({ system: event.currentTarget.value })}
            />
          </label>
          <p class="hint" id="system-help">
            {t("systemHelp")}
          </p>
        </fieldset>
        <fieldset>
          <legend>{t("sampling")}</legend>
          <div class="pairs">
            {samplings.map(([name, label, range]) => (
              <NumberField
                key={name}
                name={name}
                label={t(label)}
                placeholder={String(sampling?.[name] ?? "")}
                {...range}
              />
            ))}
            <NumberField name="max_tokens" label={t("maxTokens")} placeholder={t("maxTokensAuto")} min={1} step={1} />
            <NumberField name="seed" label={t("seed")} placeholder={t("seedAuto")} min={0} step={1} />
          </div>
          <p class="hint">{t("temperatureHelp")}</p>
          <button type="button" class="quiet" onClick={() => change(asServerHasIt)}>
            {t("reset")}
          </button>
        </fieldset>
        <Adapters />
        <fieldset>
          <legend>{t("appearance")}</legend>
          <div class="pairs">
            <label>
              <span>{t("languageLabel")}</span>
              <select
                value={language}
                onChange={(event) => change({ language: event.currentTarget.value as Language })}
              >
                {languages.map((each) => (
                  <option key={each} value={each} lang={each}>
                    {say(each, "language")}
                  </option>
                ))}
              </select>
            </label>
            <label>
              <span>{t("theme")}</span>
              <select value={theme} onChange={(event) => change({ theme: event.currentTarget.value as Theme })}>
                <option value="system">{t("themeSystem")}</option>
                <option value="light">{t("themeLight")}</option>
                <option value="dark">{t("themeDark")}</option>
              </select>
            </label>
          </div>
        </fieldset>
        <p class="hint">{t("composerHint")}</p>
      </form>
    </Dialog>
  );
}

type NumberName = keyof Sampling | "max_tokens" | "seed";

const asServerHasIt = Object.fromEntries(
  [...samplings.map(([name]) => name), "max_tokens", "seed"].map((name) => [name, undefined]),
) as { readonly [K in NumberName]: undefined };

interface NumberFieldProps {
  readonly name: NumberName;
  readonly label: string;
  readonly placeholder: string;
  readonly min?: number;
  readonly max?: number;
  readonly step: number;
}

/** Empty: as the server has it. */
function NumberField({ name, label, placeholder, min, max, step }: NumberFieldProps) {
  const value = (settings.value as Settings)[name];
  return (
    <label>
      <span>{label}</span>
      <input
        type="number"
        inputMode="decimal"
        {...{ placeholder, min, max, step }}
        value={value ?? ""}
        onChange={(event) => {
          const field = event.currentTarget;
          // What is out of range stays where it was: the server would refuse it.
          if (!field.validity.valid) field.reportValidity();
          else change({ [name]: field.value === "" ? undefined : field.valueAsNumber });
        }}
      />
    </label>
  );
}

function Adapters() {
  const adapters = details.value?.adapters ?? [];
  return (
    <fieldset>
      <legend>{t("adapters")}</legend>
      {adapters.length === 0 && <p class="hint">{t("noAdapters")}</p>}
      {adapterStrengths(adapters).map(({ name, scale }, i) => {
        const set = (value: number) => change({ adapters: { ...settings.value.adapters, [name]: value } });
        const label = name.split(/[\\/]/).at(-1)!;
        return (
          <div key={name} class="adapter">
            <label class="check">
              <input
                type="checkbox"
                checked={scale !== 0}
                onChange={(event) => set(event.currentTarget.checked ? adapters[i]!.scale || 1 : 0)}
              />
              <span title={name}>{label}</span>
            </label>
            <input
              type="range"
              {...{ min: Math.min(0, scale), max: Math.max(2, scale), step: 0.05 }}
              value={scale}
              aria-label={t("adapterStrength", { name: label })}
              onInput={(event) => set(event.currentTarget.valueAsNumber)}
            />
            <output>{sayNumber(settings.value.language, scale, 2)}</output>
          </div>
        );
      })}
    </fieldset>
  );
}
