/**
 * Apache Iceberg's own REST catalog in a Java process, its files in the bucket of the service under test.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface RestCatalogProcess {
  readonly uri: string;
  stop(): Promise<void>;
}

/** @param jars folder from `installRestCatalog` */
export async function startRestCatalog(
  jars: string,
  { s3Origin, warehouse }: { readonly s3Origin: string; readonly warehouse: string },
): Promise<RestCatalogProcess> {
  const folder = mkdtempSync(join(tmpdir(), "spillway-catalog-"));
  const properties = {
    "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
    // A file: in memory each connection would have a database of its own.
    uri: `jdbc:sqlite:${join(folder, "catalog.db")}`,
    "jdbc.schema-version": "V1",
    warehouse,
    "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
    "s3.endpoint": s3Origin,
    "s3.path-style-access": "true",
    "s3.access-key-id": "test",
    "s3.secret-access-key": "testtest",
    "client.region": "us-east-1",
  };
  const source = join(import.meta.dirname, "RestCatalogServer.java");
  const pairs = Object.entries(properties).map(([name, value]) => `${name}=${value}`);
  const child = spawn("java", ["-Xmx512m", "-cp", join(jars, "*"), source, ...pairs], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const killAtExit = () => void child.kill("SIGKILL");
  process.once("exit", killAtExit);
  const gone = new Promise<void>((done) => child.once("exit", () => done()));
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => lines.push(line));
  const port = await new Promise<string>((done, fail) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [, port] = /^port (\d+)$/.exec(line) ?? [];
      if (port !== undefined) done(port);
    });
    child.once("error", fail);
    child.once("exit", () => fail(new Error(`the catalog ended:\n${lines.slice(-20).join("\n")}`)));
  });
  return {
    uri: `http://127.0.0.1:${port}`,
    async stop() {
      process.removeListener("exit", killAtExit);
      child.kill("SIGKILL");
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
