/**
 * The server of `@durable-streams/server`, as its README starts it: in memory, or on files where a folder is told.
 */
import { loadPackage, readSettings, tellReady } from "./serving.ts";

interface Settings {
  readonly npmFolder: string;
  readonly dataDir?: string;
}

interface DurableStreamsPackage {
  readonly DurableStreamTestServer: new (options: {
    readonly port: number;
    readonly host: string;
    readonly dataDir?: string;
  }) => { start(): Promise<string> };
}

const { npmFolder, ...storage } = readSettings() as Settings;
const { DurableStreamTestServer } = loadPackage(npmFolder, "@durable-streams/server") as DurableStreamsPackage;
const server = new DurableStreamTestServer({ port: 0, host: "127.0.0.1", ...storage });
tellReady(Number(new URL(await server.start()).port));
