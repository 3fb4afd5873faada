import type { Texts } from "../../page/languages.ts";

export const texts = {
  title: ["Why {target}?", "¿Por qué {target}?"],
  tokenWas: ["probability of the next token", "probabilidad del siguiente token"],
  tokenWouldBe: [
    "with every token of the prompt replaced by {baseline}",
    "con cada token del texto sustituido por {baseline}",
  ],
  contributions: ["What each token contributes", "Qué aporta cada token"],
  contributionsText: [
    "How much each token of the prompt raises or lowers log p({target}), in nats, on average over all orders in which tokens could be uncovered (its Shapley value). The sum is the whole difference to the masked prompt.",
    "Cuánto sube o baja cada token del texto log p({target}), en nats, de media sobre todos los órdenes en que podrían destaparse los tokens (su valor de Shapley). La suma es toda la diferencia con el texto enmascarado.",
  ],
  exact: ["Exact, over all {count} maskings.", "Exacto, sobre los {count} enmascaramientos posibles."],
  sampled: [
    "Estimated from {count} maskings, each with its opposite; ± is one standard error.",
    "Estimado con {count} enmascaramientos, cada uno con su opuesto; ± es un error estándar.",
  ],
  raises: ["raises", "sube"],
  lowers: ["lowers", "baja"],
  token: ["token", "token"],
  contribution: ["contribution", "aportación"],
  gradient: ["gradient × input", "gradiente × entrada"],
  sum: ["sum", "suma"],
  noGradient: ["No gradient: {why}", "Sin gradiente: {why}"],
  lens: ["What each layer would say", "Qué diría cada capa"],
  lensText: [
    "The logit lens: each layer's result through the last norm and the output matrix, as if it were the last. In each cell the likeliest token after the one at the head of the column; the stronger the colour, the likelier. Behind the last token: how likely {target} is there, and how many tokens are at least as likely.",
    "La lente de logits: el resultado de cada capa pasado por la última norma y la matriz de salida, como si fuera la última. En cada celda, el token más probable tras el que encabeza la columna; cuanto más intenso el color, más probable. Tras el último token: qué probabilidad tiene ahí {target}, y cuántos tokens tienen al menos esa.",
  ],
  layer: ["layer", "capa"],
  rank: ["rank", "puesto"],
  attention: ["What it attends to", "A qué atiende"],
  attentionText: [
    "What share of a head's attention each token (rows) gives to itself and to those before it (columns). Where a head looks is not yet what it makes of it.",
    "Qué parte de la atención de una cabeza da cada token (filas) a sí mismo y a los anteriores (columnas). Adónde mira una cabeza no es aún lo que hace con ello.",
  ],
  attentionLast: [
    "What share of each head's attention the last token gives to itself and to those before it.",
    "Qué parte de la atención de cada cabeza da el último token a sí mismo y a los anteriores.",
  ],
  head: ["head", "cabeza"],
  from: ["from", "desde"],
  needsScript: ["This part needs JavaScript.", "Esta parte necesita JavaScript."],
  experts: ["Which experts it used", "Qué expertos usó"],
  expertsText: [
    "Of each token, the experts that each layer chose, the one of most weight first. The stronger the colour, the larger its weight.",
    "De cada token, los expertos que eligió cada capa, primero el de más peso. Cuanto más intenso el color, mayor su peso.",
  ],
  madeBy: ["Made by {what}. Nothing on this page is fetched.", "Hecho con {what}. Esta página no pide nada a la red."],
} as const satisfies Texts;
