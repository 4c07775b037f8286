/**
 * What reading Avro blocks needs of `node:zlib`, beside `node-zlib.d.ts`: sizes are limited while
 * decompressing. Beyond the limit both throw a RangeError, under Node and workerd alike.
 */
declare module "node:zlib" {
  export function deflateRawSync(input: Uint8Array): Uint8Array;
  export function inflateRawSync(input: Uint8Array, options: { readonly maxOutputLength: number }): Uint8Array;
  export function zstdDecompressSync(input: Uint8Array, options: { readonly maxOutputLength: number }): Uint8Array;
}
