import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import { ioError } from "../bytes/io-error.ts";
import { keepPace } from "../generate/turns.ts";
import type { App } from "./app.ts";

/** A server at an address. */
export interface Listening {
  /** Where it is found: `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Requests are refused from now on; those under way are answered, until `signal` says that it is enough. */
  drain(signal: AbortSignal): Promise<void>;
}

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** Connections at a time; further ones are closed. */
  readonly connections: number;
  /** Who has taken nothing of an answer for so long is dropped. */
  readonly stalledSeconds: number;
  /** Whether a proxy stands before the server, whose last word in X-Forwarded-For is where a request comes from. */
  readonly behindProxy: boolean;
}

/** @throws GrokError `io` when the address cannot be had */
export async function listen(app: App, options: ListenOptions): Promise<Listening> {
  const { host, port, connections, stalledSeconds, behindProxy } = options;
  const server = createAdaptorServer({
    async fetch(request, { incoming, outgoing }) {
      dropStalled(outgoing as ServerResponse, stalledSeconds);
      await keepPace();
      const response = await app.fetch(request, addressOf(incoming as IncomingMessage, behindProxy));
      // A body that is refused is not read to its end: what else its connection brought would meet a closed one.
      if (!(incoming as IncomingMessage).complete) (outgoing as ServerResponse).shouldKeepAlive = false;
      return response;
    },
    overrideGlobalObjects: false,
    // Who sends a request's head or body bit by bit does not hold a connection for ever.
    serverOptions: { headersTimeout: 20_000, requestTimeout: 120_000, connectionsCheckingInterval: 5000 },
  }) as Server;
  server.maxConnections = connections;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(ioError("listen at", `${host}:${port}`, error)));
    server.listen(port, host, resolve);
  });
  const address = server.address();
  const { port: at } = typeof address === "object" && address !== null ? address : { port };
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${at}`,
    async drain(signal) {
      const closed = new Promise<void>((resolve) => server.once("close", resolve));
      const end = () => {
        server.close();
        server.closeAllConnections();
      };
      if (signal.aborted) end();
      signal.addEventListener("abort", end, { once: true });
      // Until then the address stays, so that who asks is told that the server is ending.
      await Promise.race([app.drain(), closed]);
      server.close();
      server.closeIdleConnections();
      await closed;
    },
  };
}

/**
 * An answer that nobody takes holds memory, and a place among those that are computed. A socket's own timeout sees whether the
 * system takes some of even a single large write; an answer that is still being computed is silent too, and owes nobody anything.
 */
function dropStalled(outgoing: ServerResponse, seconds: number): void {
  outgoing.setTimeout(seconds * 1000, () => {
    if (outgoing.writableLength > 0) outgoing.socket?.destroy();
  });
}

/** Of an IPv6 address the network: who has one has 2^64 of them. */
function addressOf({ headers, socket }: IncomingMessage, behindProxy: boolean): string {
  const forwarded = behindProxy ? [headers["x-forwarded-for"] ?? []].flat().join(",").split(",").at(-1)!.trim() : "";
  const address = forwarded || (socket.remoteAddress ?? "");
  const plain = address.replace(/^::ffff:(?=\d+\.)/, "");
  return plain.includes(":") ? plain.split(":").slice(0, 4).join(":") : plain;
}
