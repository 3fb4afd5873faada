/**
 * The signs of eight values in seven bits, as IQ2_XXS, IQ2_XS and IQ3_XXS store them: an even number of values is negative, so
 * the eighth sign follows from the others.
 * @returns eight bits, of column 0 in the lowest; a one is a minus.
 */
export function evenSigns(seven: number): number {
  let parity = seven ^ (seven >> 4);
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return seven | ((parity & 1) << 7);
}

/** 1 or -1: the sign of column `column` in what {@link evenSigns} returns. */
export function signOf(signs: number, column: number): 1 | -1 {
  return (signs >> column) & 1 ? -1 : 1;
}
