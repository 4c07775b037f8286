/**
 * The two functions of `node:zlib` in use, which the Workers runtime has (`nodejs_compat`) and its type
 * package has not. Not for more of Node: types of what a Worker lacks would hide mistakes.
 */
declare module "node:zlib" {
  /** At zstd's default level, 3. */
  export function zstdCompressSync(input: Uint8Array): Uint8Array;
  export function zstdDecompressSync(input: Uint8Array): Uint8Array;
}
