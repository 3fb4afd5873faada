import { useEffect, useRef } from "preact/hooks";
import { answer, answering, answerText, failure, send } from "../model/answering.ts";
import { begin, current } from "../model/conversations.ts";
import type { Trouble } from "../model/server.ts";
import { connected, details, modelName } from "../model/serving.ts";
import type { Table } from "../text/strings.ts";
import { Icon } from "./icons.tsx";
import { Markdown } from "./markdown.tsx";
import { MessageView, Thoughts } from "./message.tsx";
import { t } from "./say.ts";

/** The messages, and what comes. Whoever has not scrolled up follows it. */
export function ConversationView() {
  const box = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const { id, messages } = current.value;
  const under = answering.value?.conversation === id ? answering.value : undefined;
  const coming = under && answerText.value;

  useEffect(() => {
    if (follows.current) box.current!.scrollTop = box.current!.scrollHeight;
  }, [id, messages, coming]);
  useEffect(() => {
    follows.current = true;
  }, [id, messages.length]);

  const failed = failure.value?.conversation === id ? failure.value : undefined;
  return (
    <section
      ref={box}
      class="conversation"
      aria-label={t("conversation")}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached
      tabIndex={0}
      onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
        follows.current = scrollHeight - scrollTop - clientHeight < 40;
      }}
    >
      <div class="messages">
        {messages.length === 0 && <Empty conversation={id} />}
        {messages.map((message, i) => (
          <MessageView
            key={message.id}
            conversation={id}
            message={message}
            isLast={i === messages.length - 1}
            isFree={answering.value === undefined}
          />
        ))}
        {under && (
          <article class="message assistant coming" aria-busy="true" aria-label={under.model}>
            {coming!.thoughts !== "" && <Thoughts text={coming!.thoughts} open={coming!.text === ""} />}
            {coming!.text !== "" && <Markdown text={coming!.text} />}
            {coming!.text + coming!.thoughts === "" && <p class="thinking">{t("reading")}</p>}
          </article>
        )}
        {failed && <Failed {...failed} />}
        {!failed && answering.value === undefined && messages.at(-1)?.role === "user" && <TryAgain conversation={id} />}
      </div>
    </section>
  );
}

function Empty({ conversation }: { readonly conversation: string }) {
  const model = modelName.value;
  if (model === undefined) return <p class="thinking">{connected.value === false ? t("errorGone") : ""}</p>;
  const suggestions = [t("suggestion1"), t("suggestion2"), t("suggestion3")];
  return (
    <div class="empty">
      <h2>{t("emptyTitle", { model: (details.value?.name === model && details.value.title) || model })}</h2>
      <p>{t("emptyText")}</p>
      <ul aria-label={t("suggestions")}>
        {suggestions.map((text) => (
          <li key={text}>
            <button type="button" onClick={() => void send(conversation, text)}>
              {text}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

const words = {
  ...{ gone: "errorGone", busy: "errorBusy", context: "errorContext", key: "errorKey", model: "errorModel" },
  other: "errorOther",
} as const satisfies Record<Trouble, keyof Table>;

interface FailedProps {
  readonly conversation: string;
  readonly trouble: Trouble;
  readonly message: string;
}

function Failed({ conversation, trouble, message }: FailedProps) {
  return (
    <div class="failed" role="alert">
      <p>{t(words[trouble])}</p>
      {trouble === "other" && <p class="reason">{message}</p>}
      {trouble === "context" ? (
        <button type="button" class="quiet" onClick={begin}>
          <Icon name="plus" />
          {t("newConversation")}
        </button>
      ) : (
        <TryAgain conversation={conversation} />
      )}
    </div>
  );
}

function TryAgain({ conversation }: { readonly conversation: string }) {
  return (
    <button type="button" class="quiet" onClick={() => void answer(conversation)}>
      <Icon name="retry" />
      {t("tryAgain")}
    </button>
  );
}
