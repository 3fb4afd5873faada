/** A growing list of ids that encoders write to. */
export interface IdList {
  ids: Int32Array;
  count: number;
}

export function createIdList(): IdList {
  return { ids: new Int32Array(1024), count: 0 };
}

/** Makes room for `more` ids. */
export function reserveIds(list: IdList, more: number): void {
  if (list.count + more <= list.ids.length) return;
  const wider = new Int32Array(Math.max(list.ids.length * 2, list.count + more));
  wider.set(list.ids.subarray(0, list.count));
  list.ids = wider;
}

export function pushId(list: IdList, id: number): void {
  reserveIds(list, 1);
  list.ids[list.count++] = id;
}

/** The list's ids in an array of their own. The list is then empty, and does not keep the memory of a long text. */
export function takeIds(list: IdList): Int32Array {
  const ids = list.ids.slice(0, list.count);
  list.count = 0;
  if (list.ids.length > 1 << 16) list.ids = new Int32Array(1024);
  return ids;
}
