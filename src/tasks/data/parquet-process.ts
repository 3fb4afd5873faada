import { errorToData } from "../../engine/thread/protocol.ts";
import type { FromParquetProcess } from "./parquet.ts";
import { readRowGroups } from "./parquet-groups.ts";

/** A process that reads one file: a row group each time it is asked. It ends with the one that started it. */
const send = (message: FromParquetProcess) => process.send!(message);
const asked = () => new Promise((resolve) => process.once("message", resolve));

// Ctrl-C reaches every process of a terminal; it is the first one's to answer.
process.on("SIGINT", () => {});
process.on("disconnect", () => process.kill(process.pid));

try {
  for await (const rows of readRowGroups(process.argv[2]!)) {
    send({ type: "rows", rows });
    await asked();
  }
  send({ type: "end" });
} catch (error) {
  send({ type: "failed", error: errorToData(error) });
}
