/**
 * What can stand where somebody types in lines of settings.
 */

import type { Setting } from '../api';

/** More than this nobody reads; typing on narrows the list. */
const MOST = 50;
const PREFIX = 'spark.';

/**
 * A key, or a value of the key before it.
 */
export interface IOption {
  text: string;
  setting: Setting;
  isValue: boolean;
}

export interface ICompletion {
  /** What is replaced: the text between these. */
  start: number;
  end: number;
  options: readonly IOption[];
}

/**
 * A text, and where the cursor is in it.
 */
export interface ITyped {
  text: string;
  caret: number;
}

/**
 * Find what can stand where the cursor is; null when nothing can.
 *
 * @param isAsked - whether to offer something also where nothing was typed yet.
 */
export function completionAt(
  { text, caret }: ITyped,
  settings: readonly Setting[],
  isAsked: boolean
): ICompletion | null {
  const before = text.slice(text.lastIndexOf('\n', caret - 1) + 1, caret);
  const [, key, separator, value] =
    /^\s*([^\s=:]*)(\s*[=:]\s*|\s*)(.*)$/.exec(before) ?? [];
  if (key === undefined || key.startsWith('#')) {
    return null;
  }
  const isValue = separator !== '';
  const typed = isValue ? value : key;
  if (typed === '' && !isAsked && !isValue) {
    return null;
  }
  const start = caret - typed.length;
  const rest = isValue ? /^[^\n]*/ : /^[^\s=:]*/;
  const end = caret + (rest.exec(text.slice(caret))?.[0].length ?? 0);
  const options = isValue
    ? valuesOf(settings.find(setting => setting.key === key))
    : keysOf(settings);
  const found = ranked(options, typed);
  const isDone = found.length === 1 && found[0].text === typed;
  return found.length === 0 || isDone ? null : { start, end, options: found };
}

/**
 * Put an option where the cursor is.
 */
export function complete(
  { text }: ITyped,
  { start, end }: ICompletion,
  option: IOption
): ITyped {
  const rest = text.slice(end);
  const gap = option.isValue || /^[^\S\n]*[=:]|^[^\S\n]/.test(rest) ? '' : ' ';
  const made = text.slice(0, start) + option.text + gap;
  return { text: made + rest, caret: made.length };
}

function keysOf(settings: readonly Setting[]): IOption[] {
  return settings.map(setting => ({
    text: setting.key,
    setting,
    isValue: false
  }));
}

function valuesOf(setting: Setting | undefined): IOption[] {
  if (!setting) {
    return [];
  }
  const values =
    setting.type === 'boolean' ? ['true', 'false'] : (setting.choices ?? []);
  return values.map(text => ({ text, setting, isValue: true }));
}

/**
 * Those that begin as was typed, with or without `spark.`, then those that have it inside.
 */
function ranked(options: readonly IOption[], typed: string): IOption[] {
  const query = typed.toLowerCase();
  const rank = ({ text }: IOption): number => {
    const low = text.toLowerCase();
    if (low.startsWith(query)) {
      return 0;
    }
    return low.startsWith(PREFIX + query) ? 1 : low.includes(query) ? 2 : 3;
  };
  return options
    .map(option => ({ option, rank: rank(option) }))
    .filter(({ rank }) => rank < 3)
    .sort((a, b) => a.rank - b.rank)
    .slice(0, MOST)
    .map(({ option }) => option);
}
