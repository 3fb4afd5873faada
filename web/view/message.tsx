import { memo } from "preact/compat";
import { useEffect, useRef, useState } from "preact/hooks";
import { answer, send, speedOf } from "../model/answering.ts";
import type { AnswerInfo, Message } from "../model/conversation.ts";
import { tokensOf, watch, watched } from "../model/live.ts";
import { settings } from "../model/settings.ts";
import { sayNumber } from "../text/strings.ts";
import { CopyButton } from "./copy-button.tsx";
import { Icon } from "./icons.tsx";
import { Markdown } from "./markdown.tsx";
import { t } from "./say.ts";

interface MessageProps {
  readonly conversation: string;
  readonly message: Message;
  readonly isLast: boolean;
  /** Whether something can be asked: no answer comes. */
  readonly isFree: boolean;
}

export const MessageView = memo(({ conversation, message, isLast, isFree }: MessageProps) => {
  const [editing, setEditing] = useState(false);
  const { id, role, content, answer: info } = message;
  if (editing) {
    const save = (text: string) => {
      setEditing(false);
      void send(conversation, text, id);
    };
    return <Editor text={content} onSave={save} onCancel={() => setEditing(false)} />;
  }
  return (
    <article class={`message ${role}`} aria-label={role === "user" ? t("you") : (info?.model ?? t("model"))}>
      {message.thoughts && <Thoughts text={message.thoughts} open={false} />}
      {role === "user" ? <p class="said">{content}</p> : <Markdown text={content} />}
      {info && <Notes info={info} />}
      <div class="actions">
        <CopyButton text={content} />
        {role === "user" && isFree && (
          <button type="button" class="quiet" onClick={() => setEditing(true)}>
            <Icon name="edit" />
            {t("edit")}
          </button>
        )}
        {role === "assistant" && isLast && isFree && (
          <button type="button" class="quiet" onClick={() => void answer(conversation)}>
            <Icon name="retry" />
            {t("retry")}
          </button>
        )}
        {role === "assistant" && settings.value.live && tokensOf(id).length > 0 && (
          <button type="button" class="quiet" aria-pressed={watched.value?.answer === id} onClick={() => watch(id)}>
            <Icon name="live" />
            {t("openLive")}
          </button>
        )}
        {info && <Measures info={info} />}
      </div>
    </article>
  );
});

export function Thoughts({ text, open }: { readonly text: string; readonly open: boolean }) {
  return (
    <details class="thoughts" open={open}>
      <summary>{t("thoughts")}</summary>
      <Markdown text={text} />
    </details>
  );
}

function Notes({ info: { finish, leftOut } }: { readonly info: AnswerInfo }) {
  return (
    <>
      {leftOut !== undefined && <p class="note">{t("leftOut", { n: leftOut })}</p>}
      {finish === "length" && <p class="note">{t("cutLength")}</p>}
      {finish === "stopped" && <p class="note">{t("stopped")}</p>}
    </>
  );
}

function Measures({ info }: { readonly info: AnswerInfo }) {
  const speed = speedOf(info);
  if (speed === undefined) return null;
  const seconds = sayNumber(settings.value.language, info.firstSeconds, 2);
  return (
    <span class="measures">
      {t("measures", { n: info.tokens, speed })} · {t("firstAfter", { seconds })}
    </span>
  );
}

interface EditorProps {
  readonly text: string;
  readonly onSave: (text: string) => void;
  readonly onCancel: () => void;
}

function Editor({ text, onSave, onCancel }: EditorProps) {
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    area.current!.focus();
    area.current!.setSelectionRange(text.length, text.length);
  }, [text]);
  const save = () => {
    const said = area.current!.value.trim();
    if (said !== "") onSave(said);
  };
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <textarea
        ref={area}
        aria-label={t("editMessage")}
        rows={Math.min(12, text.split("\n").length + 1)}
        defaultValue={text}
        onKeyDown={(event) => {
          if (event.key === "Escape") onCancel();
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
        }}
      />
      <p class="hint">{t("editNote")}</p>
      <div class="buttons">
        <button type="submit" class="primary">
          {t("save")}
        </button>
        <button type="button" onClick={onCancel}>
          {t("cancel")}
        </button>
      </div>
    </form>
  );
}
