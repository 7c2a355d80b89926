/**
 * What is fetched only when it is needed: nearly everything, as nobody waits for it at JupyterLab's
 * start. It imports nothing of ours, so that it is small.
 */

import { showErrorMessage } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

/**
 * Say that a part of the page is missing.
 */
export function notLoaded(trans: TranslationBundle): string {
  return trans.__(
    'A part of this page could not be loaded. Reload the page; the extension may have been updated meanwhile.'
  );
}

/**
 * Do what a command is for by a part of the page that is loaded for it.
 *
 * @returns null when it cannot be loaded, which has been shown then.
 */
export async function late<Part, Result>(
  trans: TranslationBundle,
  load: () => Promise<Part>,
  use: (part: Part) => Result
): Promise<Awaited<Result> | null> {
  let part: Part;
  try {
    part = await load();
  } catch {
    await showErrorMessage(trans.__('Nothing was done'), notLoaded(trans));
    return null;
  }
  return await use(part);
}

/**
 * Load the descriptions of the commands' arguments.
 */
export const described = () => import('./arguments');
