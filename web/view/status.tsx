import { answering, speed } from "../model/answering.ts";
import { connected, status } from "../model/serving.ts";
import { settings } from "../model/settings.ts";
import { sayBytes, sayNumber } from "../text/strings.ts";
import { t } from "./say.ts";

/** How the server does, in one line. */
export function StatusLine() {
  const { language } = settings.value;
  const found = status.value;
  if (connected.value === false) return <p class="status gone">{t("statusGone")}</p>;
  if (found === undefined) return <p class="status" />;
  const { waiting, memory } = found;
  // The page knows of its own answers before it looks again.
  const running = Math.max(found.running, answering.value === undefined ? 0 : 1);
  const bytes = (count: number) => sayBytes(language, count);
  const parts = [
    running === 0 ? t("statusReady") : t("statusRunning", { n: running }),
    ...(waiting > 0 ? [t("statusWaiting", { n: waiting })] : []),
    ...(speed.value === undefined ? [] : [t("statusSpeed", { speed: sayNumber(language, speed.value) })]),
    t("statusMemory", { used: bytes(memory.used_bytes), limit: bytes(memory.limit_bytes) }),
  ];
  return (
    <p class={`status${running > 0 ? " busy" : ""}`}>
      {parts.map((part) => (
        <span key={part}>{part}</span>
      ))}
    </p>
  );
}
