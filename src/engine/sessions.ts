import { GrokError } from "../errors.ts";
import type { Run, Session } from "./run.ts";

/**
 * Sessions answer their requests one after the other. What one computed it finds again as everybody does, in the tree of prefixes: by
 * its tokens.
 */
export interface Sessions {
  readonly size: number;
  open(id: number): Session;
  /** @throws GrokError `argument` */
  require(id: number): Session;
  close(session: Session): void;
  /** Says whether the request can begin at once, because no other is before it. */
  enter(session: Session, run: Run): boolean;
  /** A request is over, begun or not. Gives the one that can begin now. */
  leave(session: Session, run: Run): Run | undefined;
}

export function createSessions(): Sessions {
  const sessions = new Map<number, Session>();
  return {
    get size() {
      return sessions.size;
    },
    open(id) {
      const session: Session = { id, queue: new Set() };
      sessions.set(id, session);
      return session;
    },
    require(id) {
      const session = sessions.get(id);
      if (session === undefined) throw new GrokError("argument", `session ${id} is closed`, { session: id });
      return session;
    },
    close: (session) => void sessions.delete(session.id),
    enter(session, run) {
      session.queue.add(run);
      return session.queue.size === 1;
    },
    leave(session, run) {
      const [before] = session.queue;
      session.queue.delete(run);
      const [next] = session.queue;
      return before === run ? next : undefined;
    },
  };
}
