import { key, useKey } from "../model/serving.ts";
import { Dialog } from "./dialog.tsx";
import { t } from "./say.ts";

export function KeyDialog() {
  const { wrong = false } = key.value;
  const close = () => {
    if (key.value.wanted) key.value = {};
  };
  return (
    <Dialog title={t("keyTitle")} onClose={close}>
      <form
        class="fields"
        onSubmit={(event) => {
          event.preventDefault();
          const secret = new FormData(event.currentTarget).get("key");
          if (typeof secret === "string" && secret.trim() !== "") useKey(secret.trim());
        }}
      >
        <p>{t("keyText")}</p>
        {wrong && (
          <p class="wrong" role="alert">
            {t("keyWrong")}
          </p>
        )}
        <label>
          <span>{t("key")}</span>
          <input type="password" name="key" autocomplete="off" required />
        </label>
        <button type="submit" class="primary">
          {t("use")}
        </button>
      </form>
    </Dialog>
  );
}
