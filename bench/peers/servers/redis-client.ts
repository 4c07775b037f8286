/**
 * The part of the package `redis` (node-redis) that the servers written for the comparison use.
 */
export interface StreamEntry {
  readonly id: string;
  readonly message: Readonly<Record<string, string>>;
}

export interface RedisClient {
  connect(): Promise<unknown>;
  duplicate(): RedisClient;
  destroy(): void;
  on(event: "error", listener: (error: Error) => void): unknown;
  xAdd(
    key: string,
    id: string,
    fields: Readonly<Record<string, string>>,
    options?: {
      readonly TRIM: { readonly strategy: "MAXLEN"; readonly strategyModifier: "~"; readonly threshold: number };
    },
  ): Promise<string>;
  xRange(key: string, start: string, end: string, options: { readonly COUNT: number }): Promise<readonly StreamEntry[]>;
  xRevRange(
    key: string,
    end: string,
    start: string,
    options: { readonly COUNT: number },
  ): Promise<readonly StreamEntry[]>;
  xRead(
    stream: { readonly key: string; readonly id: string },
    options: { readonly BLOCK: number },
  ): Promise<readonly { readonly messages: readonly StreamEntry[] }[] | null>;
  memoryUsage(key: string, options: { readonly SAMPLES: number }): Promise<number | null>;
}

export interface RedisPackage {
  createClient(options: { readonly url: string }): RedisClient;
}

/** A connection more, told of by its errors alone: without a listener they would end the process. */
export async function connected(client: RedisClient): Promise<RedisClient> {
  client.on("error", (error) => console.error(error));
  await client.connect();
  return client;
}
