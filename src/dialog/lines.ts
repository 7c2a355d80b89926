/**
 * Names and values as text, one entry in a line, and as the object that the server takes.
 */

export type Entries = Readonly<Record<string, string>>;

/**
 * What is wrong with a line.
 */
export interface IWrongLine {
  /** Its number, from 1 up. */
  line: number;
  text: string;
  /** Whether its name stands in a line above as well; else it cannot be read at all. */
  isRepeated: boolean;
}

/**
 * How one kind of text is written.
 */
export interface ISyntax {
  /** Finds the name and the value in a line. */
  pattern: RegExp;
  format: (name: string, value: string) => string;
  example: string;
}

/**
 * Lines of a spark-defaults.conf, which Spark reads as Java properties: the key, then blanks, `=`
 * or `:`, then the value without blanks around it.
 */
export const CONF: ISyntax = {
  pattern: /^([^\s=:]+)(?:\s*[=:]\s*|\s+)(.*?)\s*$/,
  // A value that begins like a separator, or is empty, needs one before it.
  format: (name, value) =>
    /^(?:[=:]|$)/.test(value) ? `${name}=${value}` : `${name} ${value}`,
  example: 'spark.sql.shuffle.partitions 64'
};

/**
 * Environment variables, with or without a shell's `export`; all behind the `=` is the value.
 */
export const ENV: ISyntax = {
  pattern: /^(?:export\s+)?([^\s=]+)=(.*)$/,
  format: (name, value) => `${name}=${value}`,
  example: 'TZ=UTC'
};

/**
 * Labels, which are written like settings.
 */
export const LABELS: ISyntax = { ...CONF, example: 'team research' };

/**
 * Settings and variables, and where each is found.
 */
export const SECRETS: ISyntax = {
  ...CONF,
  example: 'DB_PASSWORD file:/home/me/.db-password'
};

/**
 * Read a text. Blank lines, and those that begin with `#`, say nothing.
 */
export function parseLines(
  text: string,
  { pattern }: ISyntax
): { entries: Entries; wrong: IWrongLine[] } {
  const entries = new Map<string, string>();
  const wrong: IWrongLine[] = [];
  text.split(/\r?\n/).forEach((untrimmed, index) => {
    const line = untrimmed.trim();
    if (line === '' || line.startsWith('#')) {
      return;
    }
    // Blanks at the end may belong to the value of a variable.
    const [, name, value] = pattern.exec(untrimmed.trimStart()) ?? [];
    if (name === undefined || entries.has(name)) {
      const isRepeated = name !== undefined;
      wrong.push({ line: index + 1, text: line, isRepeated });
    } else {
      entries.set(name, value);
    }
  });
  return { entries: Object.fromEntries(entries), wrong };
}

/**
 * Write a text that reads back as the same entries.
 */
export function formatLines(entries: Entries, { format }: ISyntax): string {
  return Object.entries(entries)
    .map(([name, value]) => format(name, value))
    .join('\n');
}
