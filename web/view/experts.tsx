import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { createExpertCounter, type LiveToken, nameOf } from "../model/live-token.ts";
import { settings } from "../model/settings.ts";
import { sayNumber, sayShare } from "../text/strings.ts";
import { cellAt, drawMap, layOut } from "./map.ts";
import { t } from "./say.ts";

interface ExpertsProps {
  readonly layers: number;
  readonly experts: number;
  readonly tokens: readonly LiveToken[];
  /** The token that is looked at; -1: none yet. */
  readonly at: number;
  /** Whether it is the last one of an answer that comes: those before it then fade away. */
  readonly follows: boolean;
}

/** A map of layers by experts: how often each was chosen so far, and lit those that the token came from. */
export function Experts({ layers, experts, tokens, at, follows }: ExpertsProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(canvas);
  const [hovered, setHovered] = useState<{ readonly layer: number; readonly expert: number }>();
  const count = useMemo(() => createExpertCounter(layers, experts), [layers, experts]);
  const counts = count(tokens, at);
  const layout = layOut(width, layers, experts);
  const { theme } = settings.value;
  const dark = useDark();

  useEffect(() => {
    if (width > 0)
      drawMap(canvas.current!, layout, { counts, recent: tokens.slice(Math.max(0, follows ? at - 3 : at), at + 1) });
  }, [width, count, tokens, at, follows, theme, dark]);

  const token = tokens[at];
  const { language } = settings.value;
  const list = token?.experts.map(({ layer, experts: chosen }) => `${layer}: ${chosen.join(", ")}`);
  const now =
    token && list && list.length <= 12 ? t("expertsNow", { token: nameOf(token), list: list.join("; ") }) : "";
  return (
    <>
      <canvas
        ref={canvas}
        class="map"
        style={{ height: `${layout.height}px` }}
        role="img"
        aria-label={t("expertsMap", { layers, experts, now })}
        onPointerMove={(event) => setHovered(cellAt(layout, event.offsetX, event.offsetY))}
        onPointerLeave={() => setHovered(undefined)}
      />
      <p class="hint">
        {hovered === undefined
          ? t("expertsText")
          : t("expertUse", {
              ...{ layer: hovered.layer, expert: hovered.expert },
              share: sayShare(language, counts[hovered.layer]![hovered.expert]! / Math.max(1, at + 1)),
            })}
      </p>
      {token !== undefined && token.experts.length > 0 && (
        <details class="as-table">
          <summary>{t("expertsTable")}</summary>
          <table>
            <thead>
              <tr>
                <th scope="col">{t("layer")}</th>
                <th scope="col">{t("chosen")}</th>
              </tr>
            </thead>
            <tbody>
              {token.experts.map(({ layer, experts: chosen, weights }) => (
                <tr key={layer}>
                  <th scope="row">{layer}</th>
                  <td>{chosen.map((e, i) => `${e} (${sayNumber(language, weights[i]!, 2)})`).join(", ")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </details>
      )}
    </>
  );
}

function useWidth(element: { readonly current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, []);
  return width;
}

const darkness = matchMedia("(prefers-color-scheme: dark)");

function useDark(): boolean {
  const [dark, setDark] = useState(darkness.matches);
  useEffect(() => {
    const changed = () => setDark(darkness.matches);
    darkness.addEventListener("change", changed);
    return () => darkness.removeEventListener("change", changed);
  }, []);
  return dark;
}
