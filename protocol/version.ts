/**
 * The version of what runs: as package.json has it, which a test holds.
 */
export const VERSION = "0.1.0";
