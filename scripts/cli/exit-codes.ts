/**
 * How a command ends: its exit code, and the failure that carries one.
 */

export const EXIT = {
  ok: 0,
  /** It was tried and did not work, or the answer is no. */
  failed: 1,
  /** The command line makes no sense; nothing was tried. */
  usage: 2,
  /** The service refused the credential. */
  unauthorized: 3,
  /** No answer came from the service. */
  unreachable: 4,
  /** Some of it was done; the output says what was not. */
  partial: 5,
  /** Ended by SIGINT, as shells have it: 128 + 2. */
  interrupted: 130,
  /** Whoever read the output has gone; as shells have it: 128 + 13. */
  unread: 141,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Members of a problem response (RFC 9457) that people are shown. */
export interface ShownProblem {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly code: string;
  readonly request_id: string;
  /** Extension members, such as `expected`. */
  readonly members: Readonly<Record<string, unknown>>;
}

/** What ends a command early. The message is for people; it never holds a secret. */
export class CommandFailure extends Error {
  readonly exitCode: ExitCode;
  readonly problem: ShownProblem | undefined;

  constructor(exitCode: ExitCode, message: string, problem?: ShownProblem) {
    super(message);
    this.exitCode = exitCode;
    this.problem = problem;
  }
}

export function usageFailure(message: string): CommandFailure {
  return new CommandFailure(EXIT.usage, message);
}

export function failure(message: string): CommandFailure {
  return new CommandFailure(EXIT.failed, message);
}
