/**
 * What the commands for long work do. It is loaded when the first of them is run.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Api, type Task } from '../api';
import { orExplain } from '../explain';
import { shownTasks } from './shown';

/**
 * Show all tasks.
 *
 * @param id - of the one that matters; the newest when it is missing.
 */
export function showTasks(
  app: JupyterFrontEnd,
  trans: TranslationBundle,
  id: unknown
): Promise<unknown> {
  return orExplain(trans.__('The tasks cannot be shown'), trans, async () => {
    const { showTasksDialog } = await import('./dialog');
    await showTasksDialog(
      servicesOf(app, trans),
      id === undefined ? null : String(id)
    );
  });
}

/**
 * Show the packed environments.
 */
export function showArchives(
  app: JupyterFrontEnd,
  trans: TranslationBundle
): Promise<unknown> {
  return orExplain(
    trans.__('The packed environments cannot be shown'),
    trans,
    async () => {
      const { showArchivesDialog } = await import('../archives');
      await showArchivesDialog(servicesOf(app, trans));
    }
  );
}

/**
 * Pack anew what the executors of a kernel unpack.
 */
export function repack(
  app: JupyterFrontEnd,
  trans: TranslationBundle,
  { place, name }: ReadonlyPartialJSONObject
): Promise<Task | null> {
  return orExplain(trans.__('Nothing was packed'), trans, async () => {
    const { api } = servicesOf(app, trans);
    const task = await api.repack(String(place), String(name));
    shownTasks.release(task);
    return task;
  });
}

function servicesOf(
  { serviceManager }: JupyterFrontEnd,
  trans: TranslationBundle
) {
  const { events, serverSettings } = serviceManager;
  return { api: new Api(serverSettings), trans, events };
}
