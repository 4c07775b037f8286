/**
 * Every command there is, in the order of the help.
 */
import type { Command } from "./command.ts";
import { ALERTS } from "./commands/alerts.ts";
import { EXPORT } from "./commands/buffer-export.ts";
import { REPLAY } from "./commands/buffer-replay.ts";
import { RESET } from "./commands/buffer-reset.ts";
import { DEAD_LETTERS } from "./commands/dead-letters.ts";
import { COMPACT, EXPIRE_SNAPSHOTS, FLUSH } from "./commands/lake.ts";
import { STATUS } from "./commands/status.ts";
import { STREAMS } from "./commands/streams.ts";
import { TAIL } from "./commands/tail.ts";
import { TOKEN } from "./commands/token.ts";
import { ROTATE } from "../rotation/command.ts";

export const COMMANDS: readonly Command[] = [
  STATUS,
  ...ALERTS,
  TAIL,
  ...STREAMS,
  FLUSH,
  EXPORT,
  RESET,
  REPLAY,
  ...DEAD_LETTERS,
  COMPACT,
  EXPIRE_SNAPSHOTS,
  ROTATE,
  ...TOKEN,
];
