import type { Server } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import { ioError } from "../bytes/io-error.ts";
import type { App } from "./app.ts";

/** A server at an address. */
export interface Listening {
  /** Where it is found: `http://127.0.0.1:8080`. */
  readonly url: string;
  /** No more requests are taken; those under way are answered, until `signal` says that it is enough. */
  drain(signal: AbortSignal): Promise<void>;
}

/** @throws GrokError `io` when the address cannot be had */
export async function listen(app: App, host: string, port: number): Promise<Listening> {
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false }) as Server;
  // Who sends a request's head or body bit by bit does not hold a connection for ever.
  server.headersTimeout = 20_000;
  server.requestTimeout = 300_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(ioError("listen at", `${host}:${port}`, error)));
    server.listen(port, host, resolve);
  });
  const address = server.address();
  const { port: at } = typeof address === "object" && address !== null ? address : { port };
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${at}`,
    async drain(signal) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const end = () => server.closeAllConnections();
      if (signal.aborted) end();
      signal.addEventListener("abort", end, { once: true });
      await closed;
    },
  };
}
