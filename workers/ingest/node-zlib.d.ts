/**
 * The one function of `node:zlib` in use at the edge, which the Workers runtime has (`nodejs_compat`) and
 * its type package has not. Not for more of Node: types of what a Worker lacks would hide mistakes.
 */
declare module "node:zlib" {
  /** @throws RangeError beyond `maxOutputLength` bytes, Error for what is not gzip or is cut short */
  export function gunzipSync(input: Uint8Array, options: { readonly maxOutputLength: number }): Uint8Array;
}
