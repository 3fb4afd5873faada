import { answering } from "../model/answering.ts";
import { current } from "../model/conversations.ts";
import { placeIn, tokensOf, watch, watched, watchedOf } from "../model/live.ts";
import { type LiveToken, nameOf, showToken } from "../model/live-token.ts";
import { details } from "../model/serving.ts";
import { settings } from "../model/settings.ts";
import { sayShare } from "../text/strings.ts";
import { Experts } from "./experts.tsx";
import { t } from "./say.ts";
import { Tokens } from "./tokens.tsx";

/** An answer as the model came to it: the experts of each token, how likely it was, and what else there could have been. */
export function Live() {
  const model = details.value;
  const { id, messages } = current.value;
  const under = answering.value?.conversation === id ? answering.value.id : undefined;
  const answers = messages.filter(({ role }) => role === "assistant").map((message) => message.id);
  const answer = watchedOf(under === undefined ? answers : [...answers, under]);
  const tokens = tokensOf(answer);
  const at = answer === undefined ? -1 : placeIn(answer);
  const token = tokens[at];
  const follows = answer !== undefined && answer === under && watched.value?.place === undefined;
  return (
    <div class="live">
      <section aria-labelledby="live-experts">
        <h3 id="live-experts">{t("expertsTitle")}</h3>
        {model?.experts ? (
          <Experts layers={model.layers!} experts={model.experts} tokens={tokens} at={at} follows={follows} />
        ) : (
          model && <p class="hint">{t("expertsDense", { model: model.name })}</p>
        )}
      </section>
      {token === undefined ? (
        <p class="hint">{t(answers.length > 0 ? "liveNone" : "liveEmpty")}</p>
      ) : (
        <>
          <section aria-labelledby="live-tokens">
            <div class="section-head">
              <h3 id="live-tokens">{t("tokensTitle")}</h3>
              <span class="space" />
              {under === answer && !follows && (
                <button type="button" class="quiet" onClick={() => watch(answer!)}>
                  {t("follow")}
                </button>
              )}
            </div>
            <Tokens answer={answer!} tokens={tokens} at={at} />
            <p class="hint">{t("tokensText")}</p>
          </section>
          <TokenView token={token} at={at} count={tokens.length} />
        </>
      )}
    </div>
  );
}

function TokenView({ token, at, count }: { readonly token: LiveToken; readonly at: number; readonly count: number }) {
  const { language } = settings.value;
  const shown = nameOf(token);
  const others = token.top.map(({ text, probability }) => ({
    shown: showToken(text),
    probability,
    chosen: text === token.text,
  }));
  const all = others.some(({ chosen }) => chosen)
    ? others
    : [...others, { shown, probability: token.probability, chosen: true }];
  return (
    <section aria-labelledby="live-token">
      <div class="section-head">
        <h3 id="live-token">{t("tokenTitle")}</h3>
        <span class="hint">{t("tokenOf", { i: at + 1, n: count })}</span>
      </div>
      <p class="token-now">
        <span class="token-name">{shown}</span>
        <span>
          <span class="unseen">{t("tokenProbability")} </span>
          {sayShare(language, token.probability)}
        </span>
      </p>
      <ol class="bars" aria-label={t("alternatives")}>
        {all.map((other, i) => (
          <li key={i} class={other.chosen ? "chosen" : undefined}>
            <span class="bar" style={{ width: `${Math.max(0.5, other.probability * 100)}%` }} />
            <span class="bar-name">{other.shown}</span>
            <span class="bar-share">{sayShare(language, other.probability)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
