import { signal } from "@preact/signals";
import { type Conversation, type Exported, exportJson, exportMarkdown, titleOf } from "../model/conversation.ts";
import { begin, conversations, current, currentId, remove, restore } from "../model/conversations.ts";
import { settings } from "../model/settings.ts";
import { Icon } from "./icons.tsx";
import { t } from "./say.ts";

/** The conversation that was deleted last, as long as it can be had back. */
const deleted = signal<Conversation | undefined>(undefined);
let forget: ReturnType<typeof setTimeout> | undefined;

function erase(conversation: Conversation): void {
  remove(conversation);
  deleted.value = conversation;
  clearTimeout(forget);
  forget = setTimeout(() => {
    deleted.value = undefined;
  }, 10_000);
}

export function Sidebar({ onChoose }: { readonly onChoose: () => void }) {
  const gone = deleted.value;
  return (
    <div class="sidebar">
      <button
        type="button"
        class="new"
        onClick={() => {
          begin();
          onChoose();
        }}
      >
        <Icon name="plus" />
        {t("newConversation")}
      </button>
      {conversations.value.length === 0 && <p class="hint">{t("noConversations")}</p>}
      <ul class="conversations">
        {conversations.value.map((conversation) => (
          <Entry key={conversation.id} conversation={conversation} onChoose={onChoose} />
        ))}
      </ul>
      <div role="status">
        {gone !== undefined && (
          <p class="undo">
            {t("deleted", { title: titleOf(gone) ?? t("untitled") })}{" "}
            <button
              type="button"
              class="quiet"
              onClick={() => {
                restore(gone);
                deleted.value = undefined;
              }}
            >
              {t("undo")}
            </button>
          </p>
        )}
      </div>
      {current.value.messages.length > 0 && <Export conversation={current.value} />}
    </div>
  );
}

function Entry({ conversation, onChoose }: { readonly conversation: Conversation; readonly onChoose: () => void }) {
  const title = titleOf(conversation) ?? t("untitled");
  const isCurrent = conversation.id === currentId.value;
  return (
    <li class={isCurrent ? "current" : undefined}>
      <button
        type="button"
        class="choose"
        aria-current={isCurrent ? "true" : undefined}
        onClick={() => {
          currentId.value = conversation.id;
          onChoose();
        }}
      >
        {title}
      </button>
      <button
        type="button"
        class="icon-button small"
        aria-label={t("deleteConversation", { title })}
        onClick={() => erase(conversation)}
      >
        <Icon name="trash" />
      </button>
    </li>
  );
}

function Export({ conversation }: { readonly conversation: Conversation }) {
  const names = { untitled: t("untitled"), user: t("you"), assistant: t("model") };
  return (
    <div class="export">
      <button type="button" class="quiet" onClick={() => download(exportMarkdown(conversation, names))}>
        <Icon name="download" />
        {t("exportMarkdown")}
      </button>
      <button type="button" class="quiet" onClick={() => download(exportJson(conversation, settings.value.system))}>
        <Icon name="download" />
        {t("exportJson")}
      </button>
    </div>
  );
}

function download({ name, type, text }: Exported): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
