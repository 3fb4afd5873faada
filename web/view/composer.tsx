import { useEffect, useRef } from "preact/hooks";
import { answering, send, stop } from "../model/answering.ts";
import { currentId } from "../model/conversations.ts";
import { modelName } from "../model/serving.ts";
import { Icon } from "./icons.tsx";
import { t } from "./say.ts";

/** With a keyboard of its own Enter sends; on a phone it begins a line. */
const hasKeyboard = matchMedia("(pointer: fine)");

export function Composer() {
  const area = useRef<HTMLTextAreaElement>(null);
  // Enter came before the server had said which model there is: what is written goes as soon as it has.
  const early = useRef(false);
  const busy = answering.value !== undefined;
  const conversation = currentId.value;

  useEffect(() => {
    if (hasKeyboard.matches) area.current!.focus();
  }, [conversation]);

  const changed = () => {
    early.current = false;
    grow();
  };
  const grow = () => {
    const { style, scrollHeight } = area.current!;
    style.height = "auto";
    style.height = `${Math.min(area.current!.scrollHeight, innerHeight * 0.4) || scrollHeight}px`;
  };
  const submit = () => {
    const text = area.current!.value.trim();
    early.current = modelName.value === undefined;
    if (text === "" || busy || early.current) return;
    area.current!.value = "";
    grow();
    void send(conversation, text);
  };
  useEffect(() => {
    if (early.current) submit();
  }, [modelName.value]);

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        ref={area}
        rows={1}
        aria-label={t("message")}
        placeholder={t("messagePlaceholder")}
        onInput={changed}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing || !hasKeyboard.matches) return;
          event.preventDefault();
          submit();
        }}
      />
      {busy ? (
        <button type="button" class="round" aria-label={t("stop")} onClick={stop}>
          <Icon name="stop" />
        </button>
      ) : (
        <button type="submit" class="round" aria-label={t("send")} disabled={modelName.value === undefined}>
          <Icon name="send" />
        </button>
      )}
    </form>
  );
}
