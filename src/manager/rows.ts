/**
 * What a table of kernels says of each, and in which order; pure.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { Kernel, KernelAddress, Place } from '../api';

export type Column =
  'kernel' | 'place' | 'environment' | 'master' | 'used' | 'test';

export interface ISort {
  column: Column;
  descending: boolean;
}

/**
 * Something that a person should know of a kernel.
 */
export interface IMark {
  id:
    | 'broken'
    | 'untrusted'
    | 'unreadable'
    | 'hidden'
    | 'outdated'
    | 'edited'
    | 'foreign';
  /** One or two words. */
  label: string;
  /** The whole of it, in a sentence. */
  reason: string;
}

const USER_PLACE = 'user';

/**
 * What tells a kernel from all others.
 */
export function keyOf({ place, name }: KernelAddress): string {
  return `${place}/${name}`;
}

/**
 * Give the kernels that have each word somewhere, in small letters or capitals.
 */
export function matching(
  kernels: readonly Kernel[],
  search: string,
  places: readonly Place[]
): Kernel[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return kernels.filter(kernel => {
    const text = searchedText(kernel, places);
    return words.every(word => text.includes(word));
  });
}

function searchedText(kernel: Kernel, places: readonly Place[]): string {
  const { config, name, display_name, owner, place } = kernel;
  const directory = places.find(({ id }) => id === place)?.kernels ?? '';
  return [
    name,
    display_name,
    owner,
    place,
    directory,
    config?.environment ?? '',
    config?.master ?? ''
  ]
    .join('\n')
    .toLowerCase();
}

/**
 * Put kernels in order. Those that say nothing in the column come last either way.
 */
export function sorted(kernels: readonly Kernel[], sort: ISort): Kernel[] {
  const sign = sort.descending ? -1 : 1;
  const value = VALUES[sort.column];
  const keyed = kernels.map(kernel => ({ kernel, value: value(kernel) }));
  keyed.sort((a, b) => {
    if (a.value === '' || b.value === '') {
      return Number(a.value === '') - Number(b.value === '');
    }
    return sign * COLLATOR.compare(a.value, b.value) || byName(a, b);
  });
  return keyed.map(({ kernel }) => kernel);
}

const COLLATOR = new Intl.Collator(undefined, {
  numeric: true,
  sensitivity: 'base'
});

function byName(a: { kernel: Kernel }, b: { kernel: Kernel }): number {
  return (
    COLLATOR.compare(a.kernel.display_name, b.kernel.display_name) ||
    COLLATOR.compare(keyOf(a.kernel), keyOf(b.kernel))
  );
}

/**
 * What a column is sorted by; empty when it says nothing. Times are of one format, so that their
 * text is in the order of time.
 */
const VALUES: Record<Column, (kernel: Kernel) => string> = {
  kernel: ({ display_name }) => display_name,
  place: ({ place, owner }) => `${place} ${owner}`,
  environment: ({ config }) => (config ? shortPath(config.environment) : ''),
  master: ({ config }) => config?.master ?? '',
  used: ({ last_used }) => moment(last_used),
  test: ({ last_test }) =>
    last_test ? `${Number(last_test.passed)} ${moment(last_test.when)}` : ''
};

function moment(when: string | null): string {
  return when === null ? '' : new Date(when).toISOString();
}

/**
 * Give the end of a path by which a person knows an environment. A folder such as `.venv` is known
 * by the one that it lies in.
 */
export function shortPath(path: string): string {
  const parts = path.split('/').filter(Boolean);
  const last = parts[parts.length - 1] ?? path;
  const isCommon = /^\.?v?env$/.test(last);
  return isCommon ? parts.slice(-2).join('/') : last;
}

/**
 * Whether others may use the kernels of a place.
 */
export function isShared(id: string, places: readonly Place[]): boolean {
  return places.find(place => place.id === id)?.shared ?? id !== USER_PLACE;
}

/**
 * Say what is wrong with a kernel, or at least odd; what is worst comes first.
 */
export function marksOf(kernel: Kernel, trans: TranslationBundle): IMark[] {
  const { broken, untrusted, problem, hidden_by, archive } = kernel;
  const marks: IMark[] = [];
  if (broken !== null) {
    marks.push({ id: 'broken', label: trans.__('Broken'), reason: broken });
  }
  if (untrusted !== null) {
    marks.push({
      id: 'untrusted',
      label: trans.__('Not trusted'),
      reason: untrusted
    });
  }
  if (problem !== null && problem !== broken) {
    marks.push({
      id: 'unreadable',
      label: trans.__('Unreadable'),
      reason: problem
    });
  }
  if (hidden_by !== null) {
    marks.push({
      id: 'hidden',
      label: trans.__('Hidden'),
      reason: trans.__(
        'Jupyter does not offer it, as it finds %1 first. Rename one of the two.',
        hidden_by
      )
    });
  }
  if (archive?.drift) {
    marks.push({
      id: 'outdated',
      label: trans.__('Archive outdated'),
      reason: archive.drift
    });
  }
  if (kernel.config !== null && !kernel.ours) {
    marks.push({
      id: 'foreign',
      label: trans.__('Not made here'),
      reason: trans.__(
        'It was written by hand or by another program. It can be tried in a notebook, exported and duplicated.'
      )
    });
  } else if (kernel.edited_by_hand && kernel.config !== null) {
    marks.push({
      id: 'edited',
      label: trans.__('Edited by hand'),
      reason: trans.__(
        'Its kernel.json is not what the form would write. Saving it in the form replaces what was edited.'
      )
    });
  }
  return marks;
}
