/**
 * What Hono's handlers find in their context.
 */
export interface HonoEnv {
  Bindings: { readonly ASSETS: { fetch(request: Request): Promise<Response> } };
  /** The id that the answer, and what is logged of it, is found by. */
  Variables: { requestId: string };
}
