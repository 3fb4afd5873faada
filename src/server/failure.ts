import { type ErrorCode, GrokError } from "../errors.ts";

/** The one table from error codes to HTTP status. */
const statusOf: Readonly<Record<ErrorCode, number>> = {
  ...{
    argument: 400,
    capacity: 400,
    denied: 401,
    forbidden: 403,
    "not-found": 404,
    "too-large": 413,
    limited: 429,
    refused: 400,
    busy: 503,
  },
  ...{ cancelled: 499, io: 500, format: 500, unsupported: 500, shape: 500, internal: 500 },
};

/** What went wrong with a request, before a dialect says it in its own shape. */
export interface Failure {
  readonly status: number;
  readonly code: ErrorCode;
  /** For the client: of a defect only that it is one. */
  readonly message: string;
  /** The field of the request that is at fault, where one is. */
  readonly field: string | undefined;
  /** In so many seconds the same may be asked again; undefined where time changes nothing. */
  readonly retryAfter: number | undefined;
}

/** What is the server's own affair: its log has the file and the place, a client need not see them. */
const ownAffairs: Partial<Record<ErrorCode, string>> = {
  ...{ io: "the server cannot read or write one of its files", internal: "a defect in the server" },
  ...{ format: "one of the server's files is damaged", shape: "one of the server's files is damaged" },
  unsupported: "the server cannot run what one of its files holds",
};
const full: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT"]);

/** Who is turned away because others are being served may try again soon. */
const busySeconds = 2;

const plain = { field: undefined, retryAfter: undefined };

/**
 * @param fieldNames what a client knows options by
 * @param ownAffair is told of what a client is not: the log needs the stack of a defect, and the file that is at fault.
 */
export function failureOf(
  error: unknown,
  fieldNames: Readonly<Record<string, string>>,
  ownAffair: (error: unknown) => void,
): Failure {
  if (!(error instanceof GrokError)) {
    ownAffair(error);
    return { status: 500, code: "internal", message: `${ownAffairs.internal}; its log says more`, ...plain };
  }
  const { details } = error;
  if (details.raised === true || details.conversation === true) {
    // A chat template that refuses the conversation, or fails at this one: its own words, behind its place.
    const message = error.message.replace(/^.*?: the template failed/s, "the model's chat template failed");
    return { status: 400, code: "argument", message, ...plain, field: "messages" };
  }
  const option = typeof details.option === "string" ? details.option : undefined;
  // A grammar that is not supported is the client's affair, a model that is not is the server's.
  const isOfRequest = option === "grammar" || option === "tools";
  const code = error.code === "unsupported" && isOfRequest ? "argument" : error.code;
  const affair = ownAffairs[code];
  if (affair !== undefined) {
    ownAffair(error);
    const message = full.has(details.code) ? "the server's disk is full" : affair;
    return { status: statusOf[code], code, message: `${message}; its log says more`, ...plain };
  }
  // Of `logitBias[7]` the name in front.
  const name = option?.match(/^\w+/)?.[0];
  const own = name !== undefined && Object.hasOwn(fieldNames, name) ? fieldNames[name] : undefined;
  const field = own === undefined ? option : option!.replace(name!, own);
  // A mistake of the client's that is told of behind the name of the model's file.
  const place = typeof details.source === "string" ? `${details.source}: ` : "";
  const said = error.message.startsWith(place) ? error.message.slice(place.length) : error.message;
  const message = own === undefined ? said : said.replace(name!, own);
  const retryAfter = code === "busy" ? busySeconds : code === "limited" ? Number(details.retryAfter) : undefined;
  return { status: statusOf[code], code, message, field, retryAfter };
}
