/**
 * Says what Spark has used when it stops under a notebook. It is loaded when the first one has.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Api } from '../api';
import { orExplain } from '../explain';
import { type Figures, resize, sentenceOf } from '../receipt';

/**
 * Of less nobody needs to hear: a minute of one core.
 */
const LEAST_CORE_SECONDS = 60;

const SHOWN_MS = 15_000;

/**
 * Say what the Spark of a kernel has used, and offer a size that fits.
 *
 * @param name - the kernel's, as Jupyter knows it.
 */
export async function tellReceipt(
  app: JupyterFrontEnd,
  trans: TranslationBundle,
  name: string,
  figures: Figures
): Promise<void> {
  if (figures.core_seconds < LEAST_CORE_SECONDS) {
    return;
  }
  const actions = await actionsOf(app, trans, name);
  Notification.info(sentenceOf(figures, trans), {
    autoClose: SHOWN_MS,
    actions
  });
}

async function actionsOf(
  { commands, serviceManager }: JupyterFrontEnd,
  trans: TranslationBundle,
  name: string
): Promise<Notification.IAction[]> {
  const api = new Api(serviceManager.serverSettings);
  const kernel = (await api.kernels()).find(
    ({ name: other, hidden_by: hider }) => other === name && hider === null
  );
  if (!kernel) {
    return [];
  }
  const { suggestion } = await api.receipt(kernel.place, kernel.name);
  const { changes } = suggestion;
  if (Object.keys(changes).length === 0) {
    return [];
  }
  const failed = trans.__('The PySpark kernel was not changed');
  return [
    {
      label: trans.__('Resize to What You Used'),
      callback: () =>
        void orExplain(failed, trans, () =>
          resize(commands, kernel, changes, trans)
        )
    }
  ];
}
