/**
 * Server-sent events out of the pieces that a stream arrives in, cut anywhere: the data of each event, its lines joined.
 * (WHATWG HTML, section 9.2.6; names and numbers of events are not used here.)
 */
export function createEventParser(): (piece: string) => string[] {
  let rest = "";
  let data: string[] = [];
  return (piece) => {
    const events: string[] = [];
    // A carriage return at the end may be the first half of an ending.
    const text = rest + piece;
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = text.slice(0, end).split(/\r\n|\n|\r/);
    rest = lines.pop()! + text.slice(end);
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) events.push(data.join("\n"));
        data = [];
      } else if (line === "data" || line.startsWith("data:")) {
        data.push(line.slice("data:".length).replace(/^ /, ""));
      }
    }
    return events;
  };
}
