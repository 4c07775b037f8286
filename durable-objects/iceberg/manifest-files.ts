/**
 * Manifests and manifest lists in the bucket. Each is written once under a name of its own and never
 * changed, so that what was read once stays true.
 */
import { keyOf } from "./locations.ts";
import { decodeManifest, encodeManifest, type Manifest, type ManifestEntry } from "./manifest.ts";
import { decodeManifestList, describeManifest, encodeManifestList, type ManifestFile } from "./manifest-list.ts";
import { ManifestError } from "./manifest-fields.ts";
import { mergeManifests, type MergeSource } from "./manifest-merge.ts";
import type { ObjectStore } from "./object-store.ts";
import { currentSchema, defaultSpec } from "./table-check.ts";
import type { LongInt, TableMetadata } from "./table-metadata.ts";

/** Lists that were written or read last: the next commit begins with one of them. */
const LISTS_REMEMBERED = 4;
/** So many data manifests of a table are merged (Iceberg's own default, `commit.manifest.min-count-to-merge`). */
const MERGE_AT = 100;
/** Entries of a merged manifest, and of those worth merging: about 1 MB, and some 10 MB in memory. */
const MERGED_MAX_ENTRIES = 4000;

/** The snapshot that a new manifest is written for. */
export interface ForSnapshot {
  readonly snapshotId: LongInt;
  readonly sequenceNumber: LongInt;
}

export class ManifestFiles {
  private readonly objects: ObjectStore;
  private readonly lists = new Map<string, readonly ManifestFile[]>();

  constructor(objects: ObjectStore) {
    this.objects = objects;
  }

  /** @throws where the list is missing or broken */
  async readList(path: string): Promise<readonly ManifestFile[]> {
    const known = this.lists.get(path);
    if (known !== undefined) return known;
    const manifests = decodeManifestList(await this.read(path));
    this.remember(path, manifests);
    return manifests;
  }

  /** @param name file name, used nowhere else */
  async writeList(
    name: string,
    metadata: TableMetadata,
    list: ForSnapshot & { readonly parentSnapshotId: LongInt | null; readonly manifests: readonly ManifestFile[] },
  ): Promise<string> {
    const path = `${metadata.location}/metadata/${name}`;
    await this.write(path, encodeManifestList(list));
    this.remember(path, list.manifests);
    return path;
  }

  /** @throws {ManifestError} where it is there and cannot be understood; other errors where it cannot be read now */
  async readManifest(path: string): Promise<Manifest> {
    const bytes = await this.read(path);
    try {
      return decodeManifest(bytes);
    } catch (error) {
      throw new ManifestError(`${path}: ${error instanceof Error ? error.message : "unreadable"}`);
    }
  }

  async readEntries(path: string): Promise<readonly ManifestEntry[]> {
    return (await this.readManifest(path)).entries;
  }

  /**
   * Writes a manifest under a name that stands for these entries: where it is there already, an earlier
   * attempt has written it.
   */
  async writeManifest(
    name: string,
    metadata: TableMetadata,
    { entries, ...snapshot }: ForSnapshot & { readonly entries: readonly ManifestEntry[] },
  ): Promise<ManifestFile> {
    const path = `${metadata.location}/metadata/${name}`;
    const schema = currentSchema(metadata);
    const partitionSpec = defaultSpec(metadata);
    if (schema === undefined || partitionSpec === undefined)
      throw new Error("the table lacks its schema or partitions");
    const bytes = encodeManifest({ schema, partitionSpec, entries });
    const length = await this.write(path, bytes);
    return describeManifest({ path, length, schema, partitionSpec, entries, ...snapshot });
  }

  /**
   * Merges small data manifests where a table has many; the others stay as they are.
   *
   * @param name begins the names of what is written, used nowhere else
   */
  async mergeIfMany(
    manifests: readonly ManifestFile[],
    metadata: TableMetadata,
    { name, ...snapshot }: ForSnapshot & { readonly name: string },
  ): Promise<readonly ManifestFile[]> {
    if (manifests.length < MERGE_AT) return manifests;
    const specId = metadata["default-spec-id"];
    const isMergeable = (manifest: ManifestFile) =>
      manifest.content === "data" &&
      manifest.partitionSpecId === specId &&
      manifest.unknownFields.length === 0 &&
      countEntries(manifest) < MERGED_MAX_ENTRIES;
    const result = manifests.filter((manifest) => !isMergeable(manifest));
    for (const [at, group] of groupByEntries(manifests.filter(isMergeable)).entries()) {
      const merged = await this.merge(group, metadata, { name: `${name}-m${at}.avro`, ...snapshot });
      result.push(...merged);
    }
    return result;
  }

  /** @returns the group itself where merging gains nothing; what merging would lose something of stays beside */
  private async merge(
    group: readonly ManifestFile[],
    metadata: TableMetadata,
    { name, ...snapshot }: ForSnapshot & { readonly name: string },
  ): Promise<readonly ManifestFile[]> {
    if (group.length < 2) return group;
    const sources: MergeSource[] = [];
    const left: ManifestFile[] = [];
    for (const listed of group) {
      const source = await this.readSource(listed);
      if (source === undefined) left.push(listed);
      else sources.push(source);
    }
    const merge = mergeManifests(sources);
    if (sources.length < 2 || merge.kind === "refused") return group;
    return [await this.writeManifest(name, metadata, { entries: merge.entries, ...snapshot }), ...left];
  }

  /** @returns `undefined` of a manifest that cannot be merged: a commit must not fail for want of it */
  private async readSource(listed: ManifestFile): Promise<MergeSource | undefined> {
    try {
      const source = { listed, manifest: await this.readManifest(listed.path) };
      return mergeManifests([source]).kind === "refused" ? undefined : source;
    } catch (error) {
      if (error instanceof ManifestError) return undefined;
      throw error;
    }
  }

  private async read(path: string): Promise<Uint8Array> {
    const bytes = await this.objects.get(keyOf(path));
    if (bytes === undefined) throw new Error(`a file of the table is missing: ${path}`);
    return bytes;
  }

  /** @returns bytes of the object that is there now */
  private async write(path: string, bytes: Uint8Array): Promise<number> {
    const outcome = await this.objects.putIfAbsent(keyOf(path), bytes);
    if (outcome === "written") return bytes.byteLength;
    if (outcome === "throttled") throw new Error("the bucket asks for fewer writes");
    const there = await this.objects.head(keyOf(path));
    if (there === undefined) throw new Error(`a file of the table has just been deleted: ${path}`);
    return there.sizeBytes;
  }

  private remember(path: string, manifests: readonly ManifestFile[]): void {
    this.lists.set(path, manifests);
    for (const oldest of this.lists.keys()) {
      if (this.lists.size <= LISTS_REMEMBERED) break;
      this.lists.delete(oldest);
    }
  }
}

function countEntries(manifest: ManifestFile): number {
  return manifest.addedFilesCount + manifest.existingFilesCount + manifest.deletedFilesCount;
}

function groupByEntries(manifests: readonly ManifestFile[]): ManifestFile[][] {
  const groups: ManifestFile[][] = [];
  let entries = Number.POSITIVE_INFINITY;
  for (const manifest of manifests) {
    entries += countEntries(manifest);
    if (entries > MERGED_MAX_ENTRIES) {
      groups.push([]);
      entries = countEntries(manifest);
    }
    groups.at(-1)?.push(manifest);
  }
  return groups;
}
