import { details } from "../model/serving.ts";
import { settings } from "../model/settings.ts";
import { sayBytes, sayCount, sayNumber } from "../text/strings.ts";
import { Dialog } from "./dialog.tsx";
import { t } from "./say.ts";

export function Details({ onClose }: { readonly onClose: () => void }) {
  const { language } = settings.value;
  const found = details.value;
  const number = (value: number | undefined) => value && sayNumber(language, value);
  const count = (value: number | undefined) => value && sayCount(language, value);
  const bytes = (value: number | undefined) => value && sayBytes(language, value);
  const { engine, experts, heads } = found ?? {};
  const backend = engine && [engine.backend, ...(engine.isa ? [engine.isa] : [])].join(", ");
  const rows = [
    [t("detailArchitecture"), found?.architecture],
    [t("detailParameters"), count(found?.parameters)],
    [t("detailUsed"), experts ? count(found?.parameters_used) : undefined],
    [t("detailLayers"), number(found?.layers)],
    [t("detailExperts"), experts && t("detailExpertsUsed", { n: experts, used: found!.experts_used! })],
    [t("detailHeads"), heads && t("detailHeadsOf", { heads, kv: found!.kv_heads! })],
    [t("detailWidth"), number(found?.width)],
    [t("detailVocabulary"), number(found?.vocab)],
    [t("detailContext"), number(found?.context)],
    [t("detailSize"), bytes(found?.bytes)],
    [t("detailType"), found?.types?.[0]?.type],
    [t("detailBackend"), engine && t("detailThreads", { backend: backend!, n: engine.threads })],
    [t("detailCache"), engine && t("detailCacheOf", { bytes: bytes(engine.kv_bytes)!, type: engine.kv_type })],
  ] as const;
  return (
    <Dialog title={found?.name ?? t("details")} onClose={onClose}>
      <dl class="details">
        {rows.map(
          ([name, value]) =>
            value !== undefined &&
            value !== 0 &&
            value !== "" && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
    </Dialog>
  );
}
