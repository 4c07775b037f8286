/**
 * A table in any Iceberg REST catalog, such as R2 Data Catalog. Its snapshots and files are the
 * catalog's to look after.
 *
 * Source: Iceberg REST Catalog OpenAPI: getConfig, createNamespace, createTable, loadTable, updateTable.
 */
import { CatalogError, type Catalog, type CommitOutcome, type LoadedTable } from "./catalog.ts";
import { isRecord, RestRequests, type RestAnswer, type RestRequestOptions } from "./rest-requests.ts";
import { readTable } from "./rest-table.ts";
import type { TableChange } from "./table-change.ts";
import type { TableColumn } from "./table-columns.ts";
import { createSchema, EVENTS_PARTITION_SPEC, EVENTS_PROPERTIES, EVENTS_SORT_ORDER } from "./table-metadata.ts";

/** Between the parts of a namespace in a path: the unit separator, encoded. */
const NAMESPACE_SEPARATOR = "%1F";

export interface RestCatalogOptions extends Omit<RestRequestOptions, "random" | "sleep"> {
  /** Without `/v1`. */
  readonly uri: string;
  readonly warehouse: string;
  /** Its parts, at least one. */
  readonly namespace: readonly string[];
  readonly table: string;
  /** What the table is made with, and what is relied on afterwards. */
  readonly columns: readonly TableColumn[];
  /** 0 to 1. */
  readonly random?: () => number;
  readonly sleep?: (ms: number) => Promise<void>;
}

export class RestCatalog implements Catalog {
  readonly isEmbedded = false;
  private readonly options: RestCatalogOptions;
  private readonly requests: RestRequests;
  /** Where its tables are, once the catalog has said so. */
  private root: string | undefined;
  /** The table's making, while it is under way. */
  private making: Promise<LoadedTable> | undefined;

  constructor(options: RestCatalogOptions) {
    this.options = options;
    this.requests = new RestRequests({
      // Called as a member, the platform's fetch would see another `this` and refuse.
      fetch: (input, init) => options.fetch.call(undefined, input, init),
      ...(options.token !== undefined && { token: options.token }),
      clock: options.clock,
      timeoutMs: options.timeoutMs,
      random: options.random ?? Math.random,
      sleep: options.sleep ?? sleep,
    });
  }

  /** @throws {CatalogError} also for a table that is not as the committer needs it */
  async load(): Promise<LoadedTable | undefined> {
    return this.loadAt(await this.findRoot());
  }

  /**
   * Where the table is missing it is made, with its namespace; who makes it first wins.
   *
   * @throws {CatalogError} also for a table that is not as the committer needs it
   */
  async loadOrCreate(): Promise<LoadedTable> {
    const root = await this.findRoot();
    const found = await this.loadAt(root);
    if (found !== undefined) return found;
    // Calls that miss the table together make it together: catalogs answer their own races badly.
    this.making ??= this.make(root).finally(() => (this.making = undefined));
    return this.making;
  }

  private async make(root: string): Promise<LoadedTable> {
    await this.createNamespace(root);
    const created = await this.create(root);
    if (created !== undefined) return created;
    const other = await this.loadAt(root);
    if (other === undefined) throw new CatalogError("the catalog has the table and yet does not find it");
    return other;
  }

  /**
   * Sent once. What the outcome does not know, a later {@link loadOrCreate} does.
   *
   * @param idempotencyKey the same for every attempt at one commit, a UUID
   */
  async commit(_: LoadedTable, change: TableChange, idempotencyKey: string): Promise<CommitOutcome> {
    let root: string;
    try {
      root = await this.findRoot();
    } catch (error) {
      if (!(error instanceof CatalogError)) throw error;
      return unknownOutcome(error.message, error.retryAfterMs);
    }
    const { requirements, updates } = change;
    const answer = await this.requests.post(this.tableUrl(root), {
      body: { requirements, updates },
      headers: { "idempotency-key": idempotencyKey },
    });
    return this.judgeCommit(answer);
  }

  private judgeCommit(answer: RestAnswer): CommitOutcome {
    const reason = `the commit: ${answer.reason}`;
    if (answer.kind === "none") return unknownOutcome(reason, undefined);
    switch (answer.status) {
      case 200:
        try {
          return { kind: "committed", table: readTable(answer.body, this.options.columns) };
        } catch (error) {
          if (!(error instanceof CatalogError)) throw error;
          return unknownOutcome(`the commit: ${error.message}`, answer.retryAfterMs);
        }
      case 409:
      case 412:
        return { kind: "conflict", reason };
      case 408:
      case 429:
        return unknownOutcome(reason, answer.retryAfterMs);
      default:
        if (answer.status < 300 || answer.status >= 500) return unknownOutcome(reason, answer.retryAfterMs);
        // The catalog may have moved; then its configuration says where to.
        this.root = undefined;
        return { kind: "refused", reason };
    }
  }

  /** @returns URL below which its namespaces are. A failure is not remembered. */
  private async findRoot(): Promise<string> {
    if (this.root !== undefined) return this.root;
    const uri = trimSlashes(this.options.uri);
    const query = new URLSearchParams({ warehouse: this.options.warehouse });
    const answer = await this.requests.get(`${uri}/v1/config?${query.toString()}`);
    const config = demand(answer, "the catalog's configuration");
    const overrides = settingsOf(config, "overrides");
    // A catalog's default gives way to what is configured here, an override does not.
    const base = trimSlashes(this.checkUri(overrides["uri"] ?? uri));
    const prefix = trimSlashes(overrides["prefix"] ?? settingsOf(config, "defaults")["prefix"] ?? "");
    const root = `${base}/v1${prefix === "" ? "" : `/${prefix}`}`;
    this.root = root;
    return root;
  }

  /** Another place than the one configured must be one that the token may be sent to. */
  private checkUri(uri: string): string {
    const protocol = URL.canParse(uri) ? new URL(uri).protocol : "";
    const isSafe = protocol === "https:" || protocol === new URL(this.options.uri).protocol;
    if (!isSafe) throw new CatalogError("the catalog's configuration names a place that is no https URL");
    return uri;
  }

  private async loadAt(root: string): Promise<LoadedTable | undefined> {
    const answer = await this.requests.get(`${this.tableUrl(root)}?snapshots=all`);
    if (answer.kind === "answer" && answer.status === 404) return undefined;
    return readTable(this.demandHere(answer, "the table"), this.options.columns);
  }

  /** Parents first: some catalogs want them. */
  private async createNamespace(root: string): Promise<void> {
    const { namespace } = this.options;
    for (let depth = 1; depth <= namespace.length; depth++) {
      const answer = await this.requests.post(`${root}/namespaces`, {
        body: { namespace: namespace.slice(0, depth), properties: {} },
      });
      if (answer.kind === "answer" && answer.status === 409) continue;
      this.demandHere(answer, "making the namespace");
    }
  }

  /** @returns `undefined` where another was first */
  private async create(root: string): Promise<LoadedTable | undefined> {
    const { table, columns } = this.options;
    const answer = await this.requests.post(`${root}/namespaces/${this.namespacePath()}/tables`, {
      body: {
        name: table,
        schema: createSchema(columns, 0),
        "partition-spec": EVENTS_PARTITION_SPEC,
        "write-order": EVENTS_SORT_ORDER,
        "stage-create": false,
        properties: { "format-version": "2", ...EVENTS_PROPERTIES },
      },
    });
    if (answer.kind === "answer" && answer.status === 409) return undefined;
    return readTable(this.demandHere(answer, "making the table"), columns);
  }

  private demandHere(answer: RestAnswer, what: string): unknown {
    // The catalog may have moved; then its configuration says where to.
    if (answer.kind === "answer" && answer.status >= 300 && answer.status < 500) this.root = undefined;
    return demand(answer, what);
  }

  private tableUrl(root: string): string {
    return `${root}/namespaces/${this.namespacePath()}/tables/${encodeURIComponent(this.options.table)}`;
  }

  private namespacePath(): string {
    return this.options.namespace.map(encodeURIComponent).join(NAMESPACE_SEPARATOR);
  }
}

/** @throws {CatalogError} for anything but a success with a body */
function demand(answer: RestAnswer, what: string): unknown {
  if (answer.kind === "none") throw new CatalogError(`${what}: ${answer.reason}`);
  const { status, body, reason, retryAfterMs } = answer;
  if (status < 200 || status >= 300) throw new CatalogError(`${what}: ${reason}`, retryAfterMs);
  if (body === undefined) throw new CatalogError(`${what}: status ${status} with a body that is no JSON`);
  return body;
}

function settingsOf(config: unknown, member: "defaults" | "overrides"): Readonly<Record<string, string>> {
  const settings = isRecord(config) ? config[member] : undefined;
  if (!isRecord(config) || (settings !== undefined && settings !== null && !isRecord(settings))) {
    throw new CatalogError(`the catalog's configuration: ${member} is no object`);
  }
  const pairs = Object.entries(settings ?? {}).filter((pair): pair is [string, string] => typeof pair[1] === "string");
  return Object.fromEntries(pairs);
}

function unknownOutcome(reason: string, retryAfterMs: number | undefined): CommitOutcome {
  return { kind: "unknown", reason, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

function trimSlashes(text: string): string {
  return text.replace(/^\/+|\/+$/g, "");
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
