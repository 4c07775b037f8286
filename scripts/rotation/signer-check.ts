/**
 * Whether the running service signs by a secret: `GET /admin/keys` names its keys. Tokens alone cannot tell: while both
 * secrets verify, they verify whichever signs.
 */
import { createKeyRing } from "../../protocol/resume-token.ts";
import type { CommandContext } from "../cli/command.ts";
import { readCredentials, type Credentials } from "../cli/credentials.ts";
import { CommandFailure, EXIT } from "../cli/exit-codes.ts";
import type { Finding } from "./confirming-step.ts";
import { folderOf } from "./surroundings.ts";

const ANSWER_TIMEOUT_MS = 10_000;

export type SignerCheck = (secret: string) => Promise<Finding>;

/** @returns `undefined`, and says so, where there is no admin token: then the margin has to do. */
export async function openSignerCheck(
  context: CommandContext,
  origin: string,
  note: (text: string) => void,
): Promise<SignerCheck | undefined> {
  const { values, host, terminal } = context;
  let credentials: Credentials;
  try {
    // The token of the service that is rotated, which a file of another folder has not.
    credentials = await readCredentials(values, { ...host, folder: folderOf(context) }, terminal, new URL(origin));
  } catch (error) {
    if (!(error instanceof CommandFailure) || error.exitCode !== EXIT.unauthorized) throw error;
    note("No admin token: which secret signs is not checked, only which verify. The margin has to do.");
    return undefined;
  }
  return (secret) => checkSigner(secret, credentials, context);
}

async function checkSigner(
  secret: string,
  { origin, token }: Credentials,
  { host, signal }: CommandContext,
): Promise<Finding> {
  const { kid } = (await createKeyRing(secret)).keys[0];
  try {
    const response = await host.fetch(`${origin}/admin/keys`, {
      headers: { Authorization: `Bearer ${token}`, Connection: "close" },
      redirect: "manual",
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
    });
    const body = await response.text();
    if (response.status !== 200) return finding(`/admin/keys answers ${response.status}`, isFinal(response.status));
    const signing: unknown = (JSON.parse(body) as { signing?: unknown }).signing;
    return signing === kid ? { ok: true } : finding(`key ${String(signing)} signs somewhere, and not ${kid}`, false);
  } catch (error) {
    signal.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const { code, name } = cause as { code?: unknown; name?: unknown };
    return finding(`no answer (${String(code ?? name)})`, false);
  }
}

/** No such route, or no such token: that stays so. */
function isFinal(status: number): boolean {
  return status === 401 || status === 403 || status === 404;
}

function finding(why: string, isFinal: boolean): Finding {
  return { ok: false, why, isFinal };
}
