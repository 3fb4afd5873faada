import { useRef, useState } from "preact/hooks";
import { Icon } from "./icons.tsx";
import { t } from "./say.ts";

export function CopyButton({ text }: { readonly text: string }) {
  const [copied, setCopied] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const copy = async () => {
    if (!(await copyText(text))) return;
    setCopied(true);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setCopied(false), 2000);
  };
  return (
    <button type="button" class="quiet" onClick={copy}>
      <Icon name={copied ? "check" : "copy"} />
      <span aria-live="polite">{t(copied ? "copied" : "copy")}</span>
    </button>
  );
}

/** A page that came without encryption from another computer has no clipboard of its own: there a selection is copied. */
async function copyText(text: string): Promise<boolean> {
  if (navigator.clipboard !== undefined)
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
