/** Official files have such pieces too; a vocabulary that was damaged may have many. */
export function describeDuplicates(duplicates: number): string | undefined {
  if (duplicates === 0) return undefined;
  const what = duplicates === 1 ? "1 piece of the vocabulary is" : `${duplicates} pieces of the vocabulary are`;
  return `${what} there again under a later id, which is the one that texts get`;
}
