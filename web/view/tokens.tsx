import { memo } from "preact/compat";
import { useEffect, useRef } from "preact/hooks";
import { watch } from "../model/live.ts";
import { type LiveToken, nameOf, spellToken } from "../model/live-token.ts";
import { settings } from "../model/settings.ts";
import { sayShare } from "../text/strings.ts";
import { t } from "./say.ts";

interface TokensProps {
  readonly answer: string;
  readonly tokens: readonly LiveToken[];
  readonly at: number;
}

/** Tokens that are drawn together: of a long answer only the last ones change. */
const together = 64;

/** All tokens of an answer, coloured by how unlikely they were. One of them is looked at: a slider to keys and to screen readers. */
export function Tokens({ answer, tokens, at }: TokensProps) {
  const box = useRef<HTMLDivElement>(null);
  const { language } = settings.value;
  useEffect(() => {
    const place = box.current!.querySelector<HTMLElement>(".at");
    if (place === null) return;
    const { offsetTop, offsetHeight } = place;
    const { scrollTop, clientHeight } = box.current!;
    if (offsetTop < scrollTop) box.current!.scrollTop = offsetTop - 4;
    else if (offsetTop + offsetHeight > scrollTop + clientHeight) {
      box.current!.scrollTop = offsetTop + offsetHeight - clientHeight + 4;
    }
  }, [answer, at]);

  const last = tokens.length - 1;
  const onKeyDown = (event: KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -1,
      ArrowDown: 1,
      PageUp: -10,
      PageDown: 10,
    };
    const step = steps[event.key];
    if (step === undefined && event.key !== "Home" && event.key !== "End") return;
    event.preventDefault();
    const place = event.key === "Home" ? 0 : event.key === "End" ? last : Math.max(0, Math.min(last, at + step!));
    watch(answer, place);
  };

  const blocks = Math.ceil(tokens.length / together);
  return (
    <div
      ref={box}
      class="tokens"
      role="slider"
      tabIndex={0}
      aria-label={t("tokenSlider")}
      aria-valuemin={1}
      aria-valuemax={tokens.length}
      aria-valuenow={at + 1}
      aria-valuetext={t("tokenValue", {
        token: nameOf(tokens[at]!),
        share: sayShare(language, tokens[at]!.probability),
      })}
      onKeyDown={onKeyDown}
      onClick={(event) => {
        const { at: place } = (event.target as HTMLElement).dataset;
        if (place !== undefined) watch(answer, Number(place));
      }}
    >
      {Array.from({ length: blocks }, (_, i) => {
        const from = i * together;
        const count = Math.min(together, tokens.length - from);
        const here = at >= from && at < from + count ? at - from : -1;
        return <TokenBlock key={i} {...{ answer, tokens, from, count, here }} />;
      })}
    </div>
  );
}

interface BlockProps {
  readonly answer: string;
  readonly tokens: readonly LiveToken[];
  readonly from: number;
  readonly count: number;
  /** The one that is looked at; -1: none of these. */
  readonly here: number;
}

const TokenBlock = memo(({ tokens, from, count, here }: BlockProps) => (
  <span>
    {tokens.slice(from, from + count).map((token, i) => (
      <span key={i} class={`token t${tintOf(token.probability)}${i === here ? " at" : ""}`} data-at={from + i}>
        {spellToken(tokens, from + i)}
      </span>
    ))}
  </span>
));

/** Five shades: sure, likely, as likely as not, unlikely, a surprise. */
function tintOf(probability: number): number {
  const bounds = [0.8, 0.5, 0.25, 0.08];
  const found = bounds.findIndex((bound) => probability >= bound);
  return found === -1 ? bounds.length : found;
}
