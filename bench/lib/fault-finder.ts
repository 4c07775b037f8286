/**
 * A strict reader of one Spillway stream, outside all measuring: every event, every id.
 */
import { createParser } from "eventsource-parser";

import type { Service } from "../../test/fixtures/workerd-service.ts";
import { scriptQuery, type SourceScript } from "./source-script.ts";

/** @returns what is wrong with the stream, the first few things of it; nothing, if all is well */
export async function findFaults(service: Service, script: SourceScript): Promise<string[]> {
  const faults: string[] = [];
  const note = (fault: string) => faults.length < MOST_FAULTS && faults.push(fault);
  let events = 0;
  let end = "";
  const parser = createParser({
    onEvent: ({ event, data, id }) => {
      if (event === "resume") return;
      if (event === "end") end = data;
      else if (event !== undefined) note(`${event} after event ${events}: ${data}`);
      else if (id !== `1-${++events}`) note(`id ${String(id)} at event ${events}`);
    },
  });
  const response = await fetch(`${service.origin}/b/stream?${scriptQuery(script)}`, { method: "POST" });
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) parser.feed(decoder.decode(chunk, { stream: true }));
  if (events !== script.events) note(`${events} events of ${script.events}`);
  if (!end.includes('"status":"complete"')) note(`ended with ${end === "" ? "nothing" : end}`);
  return faults;
}

const MOST_FAULTS = 5;
