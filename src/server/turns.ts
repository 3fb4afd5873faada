/** Characters that are turned into tokens before the event loop has its turn: some ten milliseconds. */
const atATime = 2 ** 16;

/** Who prepares something large waits until others have been answered in between. */
export interface Turns {
  /** Undefined: at once. Those that have to wait come in the order in which they asked. */
  enter(characters: number): Promise<void> | undefined;
}

export function createTurns(): Turns {
  const waiting: { readonly characters: number; readonly go: () => void }[] = [];
  let spent = 0;
  let ticking = false;

  function tick(): void {
    spent = 0;
    while (waiting.length > 0 && spent < atATime) {
      const { characters, go } = waiting.shift()!;
      spent += characters;
      go();
    }
    if (spent > 0) setImmediate(tick);
    else ticking = false;
  }

  return {
    enter(characters) {
      if (!ticking) setImmediate(tick);
      ticking = true;
      if (waiting.length > 0 || spent >= atATime) return new Promise((go) => waiting.push({ characters, go }));
      spent += characters;
      return undefined;
    },
  };
}
