/** What holds of a server where nobody says anything. */
export const defaultServerOptions = {
  host: "127.0.0.1",
  port: 8080,
  atOnce: 16,
  waiting: 256,
  connections: 1024,
  bodyBytes: 2 ** 22,
  stalledSeconds: 60,
  loaded: 1,
} as const;
