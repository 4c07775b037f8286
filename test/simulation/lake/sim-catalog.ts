/**
 * A catalog of somebody else's, as the REST protocol has it: the server applies a change at once and
 * entirely, or not at all; whether it did, its caller may never hear.
 */
import {
  CatalogError,
  type Catalog,
  type CommitOutcome,
  type LoadedTable,
} from "../../../durable-objects/iceberg/catalog.ts";
import { parseLossless, stringifyLossless } from "../../../durable-objects/iceberg/lossless-json.ts";
import { applyChange } from "../../../durable-objects/iceberg/metadata-updates.ts";
import type { TableChange } from "../../../durable-objects/iceberg/table-change.ts";
import { TABLE_COLUMNS } from "../../../durable-objects/iceberg/table-columns.ts";
import { createMetadata, type TableMetadata } from "../../../durable-objects/iceberg/table-metadata.ts";
import type { Caller, Network } from "./network.ts";

const METADATA_LOG_MAX = 5;

type ServerAnswer =
  | { readonly status: 200; readonly body: string }
  | { readonly status: 409 | 429; readonly body: string };

export class CatalogServer {
  /** `undefined` until somebody makes the table. */
  metadata: TableMetadata | undefined;
  changes = 0;
  private version = 0;
  private readonly location: string;
  private readonly clock: () => number;
  private readonly randomUuid: () => string;

  constructor(options: { location: string; clock: () => number; randomUuid: () => string }) {
    this.location = options.location;
    this.clock = options.clock;
    this.randomUuid = options.randomUuid;
  }

  load(): string {
    if (this.metadata === undefined) {
      const { location, clock, randomUuid } = this;
      this.replace(createMetadata({ uuid: randomUuid(), location, columns: TABLE_COLUMNS, nowMs: clock() }));
    }
    return this.body();
  }

  commit(change: string): ServerAnswer {
    if (this.metadata === undefined) return { status: 409, body: "there is no table" };
    // Written by the port below.
    const wanted = parseLossless(change) as TableChange;
    const applied = applyChange(this.lenient(wanted), wanted, {
      nowMs: this.clock(),
      previousLocation: this.metadataLocation,
      metadataLogMax: METADATA_LOG_MAX,
    });
    if (!applied.ok) return { status: 409, body: applied.reason };
    this.replace(applied.metadata);
    return { status: 200, body: this.body() };
  }

  /** What it is not asked to require, this catalog does not require: not even that numbers grow. */
  private lenient({ updates }: TableChange): TableMetadata {
    if (this.metadata === undefined) throw new Error("there is no table");
    const added = updates.find((update) => update.action === "add-snapshot");
    const last = BigInt(this.metadata["last-sequence-number"]);
    if (added === undefined || BigInt(added.snapshot["sequence-number"]) > last) return this.metadata;
    return { ...this.metadata, "last-sequence-number": BigInt(added.snapshot["sequence-number"]) - 1n };
  }

  private replace(metadata: TableMetadata): void {
    this.metadata = metadata;
    this.version++;
    this.changes++;
  }

  private body(): string {
    return stringifyLossless({ metadata: this.metadata, metadataLocation: this.metadataLocation });
  }

  private get metadataLocation(): string {
    return `s3://catalog/${this.version}.metadata.json`;
  }
}

/** The server as one caller has it. */
export function catalogPort(server: CatalogServer, network: Network, caller: Caller): Catalog {
  const load = async (): Promise<LoadedTable> => {
    try {
      const body = await network.ask<string>(caller, "load table", (reply) => reply.ok(server.load()));
      return parseLossless(body) as LoadedTable;
    } catch (error) {
      throw new CatalogError(error instanceof Error ? error.message : "the catalog failed");
    }
  };
  return {
    isEmbedded: false,
    load,
    loadOrCreate: load,
    async commit(_: LoadedTable, change: TableChange): Promise<CommitOutcome> {
      const body = stringifyLossless({ requirements: change.requirements, updates: change.updates });
      let answer: ServerAnswer | "throttled";
      try {
        answer = await network.ask(caller, "commit table", (reply) => reply.ok(server.commit(body)), true);
      } catch (error) {
        return { kind: "unknown", reason: error instanceof Error ? error.message : "the catalog failed" };
      }
      if (answer === "throttled") return { kind: "unknown", reason: "status 429", retryAfterMs: 1000 };
      if (answer.status === 200) return { kind: "committed", table: parseLossless(answer.body) as LoadedTable };
      return { kind: "conflict", reason: answer.body };
    },
  };
}
