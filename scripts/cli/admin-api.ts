/**
 * Calls of the admin API: the token in its header, answers as JSON, refusals as failures with an exit code.
 */
import type { Host } from "./command.ts";
import type { Credentials } from "./credentials.ts";
import { CommandFailure, EXIT, failure, type ExitCode, type ShownProblem } from "./exit-codes.ts";

export interface CallOptions {
  readonly method?: "GET" | "POST" | "DELETE";
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: Uint8Array<ArrayBuffer>;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Statuses beside 2xx whose body is an answer. */
  readonly answers?: readonly number[];
  /** Whether the answer may take as long as it comes at all. */
  readonly isLong?: boolean;
}

export class AdminApi {
  readonly origin: string;
  private readonly token: string;
  private readonly host: Host;
  private readonly signal: AbortSignal;

  constructor({ origin, token }: Credentials, host: Host, signal: AbortSignal) {
    this.origin = origin;
    this.token = token;
    this.host = host;
    this.signal = signal;
  }

  /** @throws a failure where the service refuses, or does not answer */
  async call(path: string, options: CallOptions = {}): Promise<Response> {
    const response = await this.send(path, options);
    if (response.ok || options.answers?.includes(response.status) === true) return response;
    throw await refusal(response);
  }

  /** The answer's body; what type it has is the contract's word. */
  async json<Answer>(path: string, options: CallOptions = {}): Promise<Answer> {
    const response = await this.call(path, options);
    return (await this.body(response)) as Answer;
  }

  /** As it comes, also a refusal. */
  async send(path: string, { method = "GET", json, body, query = {}, isLong = false }: CallOptions): Promise<Response> {
    const url = new URL(`/admin/${path}`, this.origin);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const { lookMs, actionMs } = this.host.timeouts;
    const limitMs = method === "GET" ? lookMs : actionMs;
    const type = json !== undefined ? "application/json" : "application/x-ndjson";
    const sent = json !== undefined ? JSON.stringify(json) : body;
    try {
      return await this.host.fetch(url, {
        method,
        headers: { Authorization: `Bearer ${this.token}`, ...(sent === undefined ? {} : { "Content-Type": type }) },
        ...(sent === undefined ? {} : { body: sent }),
        // The token is for this address, not for the one it may point to.
        redirect: "manual",
        signal: isLong ? this.signal : AbortSignal.any([this.signal, AbortSignal.timeout(limitMs)]),
      });
    } catch (error) {
      throw this.brokenOff(error);
    }
  }

  async body(response: Response): Promise<unknown> {
    try {
      return await response.json();
    } catch (error) {
      if (error instanceof SyntaxError) throw failure(`${this.origin} does not answer as Spillway does.`);
      throw this.brokenOff(error);
    }
  }

  /** What a connection that failed, or was given up, ends the command with. */
  brokenOff(error: unknown): CommandFailure {
    if (this.signal.aborted) return new CommandFailure(EXIT.interrupted, "Interrupted.");
    if (error instanceof Error && error.name === "TimeoutError") {
      return new CommandFailure(EXIT.unreachable, `${this.origin} cannot be reached: no answer in time.`);
    }
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const code =
      (cause as NodeJS.ErrnoException | undefined)?.code ?? (cause instanceof Error ? cause.name : "unknown");
    return new CommandFailure(EXIT.unreachable, `${this.origin} cannot be reached: ${code}.`);
  }
}

/** A response that is no answer, as a failure. */
export async function refusal(response: Response): Promise<CommandFailure> {
  const problem = await readProblem(response);
  if (problem === undefined) {
    const hint = response.status >= 300 && response.status < 400 ? " It points elsewhere; give that URL." : "";
    return new CommandFailure(exitCodeOf(response.status), `The service answered ${response.status}.${hint}`);
  }
  const seconds = response.headers.get("retry-after");
  const again = seconds !== null && /^\d{1,9}$/.test(seconds) ? ` Again after ${seconds} s.` : "";
  return new CommandFailure(exitCodeOf(response.status), `${problem.title}: ${problem.detail}${again}`, problem);
}

/** RFC 9457; `undefined` for anything else. */
async function readProblem(response: Response): Promise<ShownProblem | undefined> {
  const text = await response.text().catch(() => "");
  try {
    const {
      title,
      detail,
      code,
      request_id,
      status,
      type: _,
      ...members
    } = JSON.parse(text) as Record<string, unknown>;
    if (typeof title !== "string" || typeof code !== "string") return undefined;
    return {
      status: typeof status === "number" ? status : response.status,
      title,
      detail: typeof detail === "string" ? detail : "",
      code,
      request_id: typeof request_id === "string" ? request_id : "",
      members,
    };
  } catch {
    // Not JSON: not ours.
    return undefined;
  }
}

function exitCodeOf(status: number): ExitCode {
  return status === 401 || status === 403 ? EXIT.unauthorized : EXIT.failed;
}
