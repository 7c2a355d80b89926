/**
 * The Spark applications among JupyterLab's running sessions.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { IRunningSessionManagers } from '@jupyterlab/running';
import type { TranslationBundle } from '@jupyterlab/translation';
import { RunningApplications } from './manager';
import { isShown, type Shell } from './shown';

/**
 * Add the section of Spark applications to the panel that is shown.
 *
 * The service is asked for only now: at the start, nothing needs it.
 */
export async function showRunning(
  app: JupyterFrontEnd,
  trans: TranslationBundle
): Promise<void> {
  const managers = await app.resolveOptionalService(IRunningSessionManagers);
  if (managers === null) {
    return;
  }
  const isSeen = (): boolean => !document.hidden && isShown();
  const manager = new RunningApplications(app, isSeen, trans);
  managers.add(manager);
  let wasShown = true;
  (app.shell as Shell).layoutModified?.connect(() => {
    if (isShown() !== wasShown) {
      wasShown = !wasShown;
      if (wasShown) {
        manager.refreshRunning();
      }
    }
  });
}
