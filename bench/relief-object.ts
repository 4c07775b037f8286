/**
 * A Worker and an object that do one thing of a stream's buffer per request: clocks stand still inside
 * workerd, so how long it takes is seen from outside.
 *
 * lib/bundles.ts puts the platform's storage in: its types are the platform's, and these here are not.
 */
import type { SqlPort } from "../durable-objects/sql-storage.ts";
import { DEFLATERS, deflateTimes } from "./lib/deflating.ts";
import { RELIEF_KINDS, ReliefScene } from "./lib/relief-scene.ts";

interface Context<Storage> {
  readonly storage: Storage;
}

interface Env {
  readonly REQUEST_STREAM: { getByName(name: string): { fetch(request: Request): Promise<Response> } };
}

/** Batches in one request of filling: a turn of many would be one transaction. */
const FILLED_A_REQUEST = 4;

/** @param sqlPort the service's own */
export function reliefObject<Storage>(sqlPort: (storage: Storage) => SqlPort) {
  return class {
    private scene: ReliefScene | undefined;
    private readonly context: Context<Storage>;

    constructor(context: Context<Storage>) {
      this.context = context;
    }

    fetch(request: Request): Response {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === "/deflate") {
        const deflater = DEFLATERS.find((name) => name === searchParams.get("with"));
        return Response.json(deflateTimes(deflater ?? "fflate 6", Number(searchParams.get("times"))));
      }
      if (pathname === "/empty") return Response.json({});
      if (pathname === "/open") {
        const kind = RELIEF_KINDS.find((name) => name === searchParams.get("kind")) ?? "none";
        this.scene = new ReliefScene(sqlPort(this.context.storage), kind, searchParams.get("for") === "turns");
        return Response.json({});
      }
      const { scene } = this;
      if (scene === undefined) return new Response(null, { status: 409 });
      if (pathname === "/step") return Response.json(scene.step());
      if (pathname === "/turn") return Response.json(scene.turn());
      let hasRoom = true;
      for (let batch = 0; batch < FILLED_A_REQUEST && hasRoom; batch++) hasRoom = scene.fill();
      return Response.json({ hasRoom });
    }
  };
}

export const reliefWorker = {
  fetch(request: Request, env: Env): Promise<Response> {
    return env.REQUEST_STREAM.getByName(new URL(request.url).searchParams.get("name") ?? "").fetch(request);
  },
};
