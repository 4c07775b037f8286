/**
 * Actions that take something away: the service names a value, and only who repeats it gets it done.
 */
import type { AdminApi } from "./admin-api.ts";
import { refusal } from "./admin-api.ts";
import type { OptionValues } from "./arguments.ts";
import type { OptionSpecs } from "./command.ts";
import { failure, usageFailure } from "./exit-codes.ts";
import { printableValue } from "./printable.ts";
import type { Terminal } from "./terminal.ts";

export const CONFIRM_OPTIONS: OptionSpecs = {
  confirm: { type: "string", value: "VALUE", help: "the value that the service asks for" },
  yes: { type: "boolean", help: "confirm whatever the service asks for" },
};

export interface ConfirmedCall {
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body: Readonly<Record<string, unknown>>;
  /** What is going to happen, for whoever is asked. */
  readonly warning: string;
}

const MOST_ATTEMPTS = 3;

/** Asks on a terminal, unless the options confirm. */
export async function callConfirmed<Answer>(
  api: AdminApi,
  call: ConfirmedCall,
  { values, terminal }: { readonly values: OptionValues; readonly terminal: Terminal },
): Promise<Answer> {
  const given = values.text("confirm");
  const isConfirmedUnseen = values.flag("yes");
  if (given === undefined && !isConfirmedUnseen && !terminal.isInteractive) {
    throw usageFailure("Nobody is there to be asked: give --confirm VALUE, or --yes.");
  }
  let confirm = given;
  for (let attempt = 1; ; attempt++) {
    const json = { ...call.body, ...(confirm === undefined ? {} : { confirm }) };
    const response = await api.send(call.path, { method: "POST", json, query: call.query ?? {} });
    if (response.ok) return (await api.body(response)) as Answer;
    const refused = await refusal(response);
    const expected = refused.problem?.members["expected"];
    if (refused.problem?.code !== "confirmation_needed" || typeof expected !== "string") throw refused;
    // With --confirm the value was for what the operator has seen; that something else is there now is for them to see.
    if (given !== undefined || attempt === MOST_ATTEMPTS) {
      throw failure(`Nothing was done: the service now asks for --confirm "${printableValue(expected)}".`);
    }
    if (!isConfirmedUnseen) await askFor(expected, call.warning, terminal);
    confirm = expected;
  }
}

async function askFor(expected: string, warning: string, terminal: Terminal): Promise<void> {
  terminal.note(warning);
  const typed = await terminal.ask(`Type "${printableValue(expected)}" to go on: `);
  if (typed !== expected) throw failure("Not confirmed: nothing was done.");
}
