import { GrokError } from "../errors.ts";
import { noAdapters } from "./adapters.ts";
import { createTimeline, fork, type PagePool, truncate } from "./pages.ts";
import type { Run, Session } from "./run.ts";

export interface Sessions {
  readonly size: number;
  open(id: number): Session;
  /** A session with the same past; copies nothing until one of the two goes on. */
  fork(from: number, to: number): void;
  /** @throws GrokError `argument` */
  require(id: number): Session;
  close(session: Session): void;
  /** Says whether the request can begin at once, because no other is before it. */
  enter(session: Session, run: Run): boolean;
  /** A request is over, begun or not. Gives the one that can begin now. */
  leave(session: Session, run: Run): Run | undefined;
  /** Most pages that idle sessions could give back. */
  idlePages(): number;
  /** Makes the idle session that was longest unused forget. Says whether there was one. */
  forget(): boolean;
}

export function createSessions(pool: PagePool): Sessions {
  const sessions = new Map<number, Session>();
  /** Those that remember something and have no request; longest unused first. */
  const idle = new Set<Session>();

  function open(id: number, timeline = createTimeline()): Session {
    const session: Session = { id, timeline, tokens: [], adapters: noAdapters.key, queue: new Set() };
    sessions.set(id, session);
    return session;
  }

  function require(id: number): Session {
    const session = sessions.get(id);
    if (session === undefined) throw new GrokError("argument", `session ${id} is closed`, { session: id });
    return session;
  }

  function rest(session: Session): void {
    if (session.timeline.pages.length > 0 && sessions.get(session.id) === session) idle.add(session);
  }

  return {
    get size() {
      return sessions.size;
    },
    open: (id) => open(id),
    require,
    fork(from, to) {
      const { timeline, tokens, adapters } = require(from);
      const session = open(to, fork(pool, timeline));
      session.tokens = Array.from({ length: timeline.length }, (_, i) => tokens[i]!);
      session.adapters = adapters;
      rest(session);
    },
    close(session) {
      sessions.delete(session.id);
      idle.delete(session);
      truncate(pool, session.timeline, 0);
    },
    enter(session, run) {
      idle.delete(session);
      session.queue.add(run);
      return session.queue.size === 1;
    },
    leave(session, run) {
      const [before] = session.queue;
      session.queue.delete(run);
      const [next] = session.queue;
      if (next === undefined) rest(session);
      return before === run ? next : undefined;
    },
    idlePages() {
      let pages = 0;
      for (const { timeline } of idle) pages += timeline.pages.length;
      return pages;
    },
    forget() {
      const [session] = idle;
      if (session === undefined) return false;
      idle.delete(session);
      truncate(pool, session.timeline, 0);
      return true;
    },
  };
}

/** Length of the common beginning. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const length = Math.min(a.length, b.length);
  let i = 0;
  while (i < length && a[i] === b[i]) i++;
  return i;
}
