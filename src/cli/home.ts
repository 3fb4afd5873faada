import { homedir } from "node:os";

/** The user's own folder. Of a user whom the system does not know, as in a container that runs as any number, "/": nothing is found there. */
export function homeFolder(): string {
  try {
    return homedir();
  } catch {
    return "/";
  }
}
