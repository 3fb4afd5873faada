import { toUtf8, wholeCharacter } from "../bytes/utf8.ts";
import { maxPieceBytes } from "../tokenizer/pieces.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/**
 * The tokens of a vocabulary by their bytes, as a tree in flat arrays, depth first: what threads share. Control tokens, which have no
 * bytes in a text, stand under their names behind {@link controlMark}. Those that end a generation, and the unknown one, are left out.
 */
export interface TokenTrie {
  readonly vocab: number;
  /** Of each node the byte that leads to it, how deep it is (1: one byte), the first node that is not below it, and a token or -1. */
  readonly byte: Uint8Array;
  readonly depth: Uint16Array;
  readonly end: Int32Array;
  readonly token: Int32Array;
  /** Of each token another with the same bytes, or -1. */
  readonly twin: Int32Array;
  /** Of each token its characters where it is text without what JSON escapes, at most {@link longestText}; 0 where it is something else. */
  readonly text: Uint8Array;
  /** Of each node the most of these below it, or 255 where there are tokens that have none. */
  readonly mostText: Uint8Array;
  /** The bytes of token i: `bytes[offsets[i], offsets[i + 1])`. */
  readonly bytes: Uint8Array;
  readonly offsets: Int32Array;
  readonly deepest: number;
  /**
   * Whether at the beginning of an answer a token loses its leading space, as SentencePiece has it: the token's text is then what comes
   * after that.
   */
  readonly losesSpace: boolean;
}

/** Comes before the name of a control token: no byte of any text. */
export const controlMark = 0xff;

/** Characters of a token that are counted. */
export const longestText = 254;

/** Tokens, or nodes of the tree, that are looked at before others have their turn. */
const atATime = 4096;

/** Made piece by piece, so that whoever asks does not hold up others on the same thread. */
export async function createTokenTrie(tokenizer: Tokenizer): Promise<TokenTrie> {
  const { vocabSize: vocab, info } = tokenizer;
  const { bytes, offsets } = await readTokens(tokenizer);
  // First as lists of children; node 0 is the root.
  const children = createChildren(bytes.length + 1);
  const nodeOf = new Int32Array(vocab);
  await inPieces(vocab, (id) => {
    let node = 0;
    for (let i = offsets[id]!; i < offsets[id + 1]!; i++) node = children.below(node, bytes[i]!);
    nodeOf[id] = node;
  });
  const tokenAt = new Int32Array(children.count()).fill(-1);
  const twin = new Int32Array(vocab).fill(-1);
  const text = new Uint8Array(vocab);
  await inPieces(vocab, (id) => {
    text[id] = countText(bytes, offsets[id]!, offsets[id + 1]!);
    const node = nodeOf[id]!;
    if (node === 0) return;
    twin[id] = tokenAt[node]!;
    tokenAt[node] = id;
  });
  const flat = await flatten(children, tokenAt, text, twin);
  return {
    ...{
      vocab,
      deepest: flat.deepest,
      losesSpace: info.addDummyPrefix === true || info.removeExtraWhitespaces === true,
    },
    ...{ byte: shared(flat.byte), depth: shared(flat.depth), end: shared(flat.end), token: shared(flat.token) },
    ...{ mostText: shared(flat.mostText), twin: shared(twin), text: shared(text) },
    ...{ bytes: shared(bytes), offsets: shared(offsets) },
  };
}

async function readTokens(tokenizer: Tokenizer) {
  const { vocabSize: vocab, endOfGeneration, unknown } = tokenizer;
  const offsets = new Int32Array(vocab + 1);
  let bytes = new Uint8Array(8 * vocab);
  await inPieces(vocab, (id) => {
    const start = offsets[id]!;
    const own = endOfGeneration.has(id) || id === unknown ? none : bytesOf(tokenizer, id);
    if (start + own.length > bytes.length) {
      const grown = new Uint8Array(2 * bytes.length + own.length);
      grown.set(bytes);
      bytes = grown;
    }
    bytes.set(own, start);
    offsets[id + 1] = start + own.length;
  });
  return { bytes: bytes.slice(0, offsets[vocab]), offsets };
}

const none = new Uint8Array(0);

async function inPieces(count: number, see: (index: number) => void): Promise<void> {
  for (let from = 0; from < count; from += atATime) {
    for (let index = from; index < Math.min(count, from + atATime); index++) see(index);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

function bytesOf(tokenizer: Tokenizer, id: number): Uint8Array {
  const bytes = tokenizer.bytes(id);
  // The byte piece of the mark itself, which no text has.
  if (bytes.includes(controlMark)) return none;
  return bytes.length > 0 ? bytes : Uint8Array.of(controlMark, ...toUtf8(tokenizer.piece(id)));
}

/** The same in memory that threads share. */
function shared<T extends Uint8Array | Uint16Array | Int32Array>(values: T): T {
  const copy = new (values.constructor as new (buffer: SharedArrayBuffer) => T)(
    new SharedArrayBuffer(values.byteLength),
  );
  copy.set(values);
  return copy;
}

/** Children of nodes in lists, found by a hash of node and byte. */
function createChildren(most: number) {
  let bits = 4;
  while (1 << bits < 2 * most) bits++;
  const slots = new Int32Array(1 << bits);
  const byte = new Uint8Array(most);
  const parent = new Int32Array(most);
  const first = new Int32Array(most);
  const sibling = new Int32Array(most);
  let count = 1;
  return {
    ...{ byte, first, sibling },
    count: () => count,
    below(node: number, value: number): number {
      let slot = Math.imul(node * 256 + value, 0x9e3779b1) >>> (32 - bits);
      for (; slots[slot] !== 0; slot = (slot + 1) & ((1 << bits) - 1)) {
        if (parent[slots[slot]!] === node && byte[slots[slot]!] === value) return slots[slot]!;
      }
      const child = count++;
      slots[slot] = child;
      byte[child] = value;
      parent[child] = node;
      sibling[child] = first[node]!;
      first[node] = child;
      return child;
    },
  };
}

/** Depth first, into arrays. */
async function flatten(
  { byte: bytes, first, sibling, count }: ReturnType<typeof createChildren>,
  tokenAt: Int32Array,
  text: Uint8Array,
  twin: Int32Array,
) {
  const nodes = count() - 1;
  const byte = new Uint8Array(nodes);
  const depth = new Uint16Array(nodes);
  const end = new Int32Array(nodes);
  const token = new Int32Array(nodes);
  const mostText = new Uint8Array(nodes);
  /** Where each node of the way down is in the arrays, and which of its siblings comes next. */
  const places = new Int32Array(maxPieceBytes + 8);
  const siblings = new Int32Array(maxPieceBytes + 8);
  siblings[0] = first[0]!;
  let level = 0;
  let deepest = 0;
  await inPieces(nodes, (place) => {
    // Up to where there is another sibling.
    for (; siblings[level] === 0; level--) close(level, place);
    const node = siblings[level]!;
    siblings[level] = sibling[node]!;
    places[++level] = place;
    siblings[level] = first[node]!;
    byte[place] = bytes[node]!;
    depth[place] = level;
    deepest = Math.max(deepest, level);
    token[place] = tokenAt[node]!;
    for (let id = tokenAt[node]!; id >= 0; id = twin[id]!)
      mostText[place] = Math.max(mostText[place]!, text[id]! || 255);
  });
  for (; level > 0; level--) close(level, nodes);
  return { byte, depth, end, token, mostText, deepest };

  function close(at: number, next: number): void {
    const place = places[at]!;
    end[place] = next;
    if (at > 1) mostText[places[at - 1]!] = Math.max(mostText[places[at - 1]!]!, mostText[place]!);
  }
}

/** Characters of a text without quotation marks, backslashes and control characters; 0 where it is not one. */
function countText(bytes: Uint8Array, start: number, end: number): number {
  let count = 0;
  for (let i = start; i < end; count++) {
    const byte = bytes[i]!;
    const length = byte < 0x20 || byte === 0x22 || byte === 0x5c ? 0 : wholeCharacter(bytes, i, end);
    if (length <= 0) return 0;
    i += length;
  }
  return count > longestText ? 0 : count;
}
