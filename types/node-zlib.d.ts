/**
 * The functions of `node:zlib` in use, which the Workers runtime has (`nodejs_compat`) and its type package
 * has not. Not for more of Node: types of what a Worker lacks would hide mistakes.
 *
 * Whoever decompresses may set a limit: beyond `maxOutputLength` bytes all throw a RangeError, and an Error
 * for what is broken or cut short, under Node and workerd alike.
 */
declare module "node:zlib" {
  interface OutputLimit {
    readonly maxOutputLength: number;
  }
  export function gunzipSync(input: Uint8Array, options: OutputLimit): Uint8Array;
  export function deflateRawSync(input: Uint8Array): Uint8Array;
  export function inflateRawSync(input: Uint8Array, options: OutputLimit): Uint8Array;
  /** At zstd's default level, 3. */
  export function zstdCompressSync(input: Uint8Array): Uint8Array;
  export function zstdDecompressSync(input: Uint8Array, options?: OutputLimit): Uint8Array;
}
