import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISignal } from '@lumino/signaling';

/**
 * What JupyterLab's shell has, and that of Jupyter Notebook has not.
 */
export type Shell = JupyterFrontEnd.IShell & {
  layoutModified?: ISignal<unknown, void>;
};

/**
 * Tell whether somebody sees the panel of running sessions.
 */
export const isShown = (): boolean =>
  !!document.getElementById('jp-running-sessions')?.offsetParent;

/**
 * Do something when the panel of running sessions is first shown.
 */
export function onceShown(shell: Shell, act: () => void): void {
  const signal = shell.layoutModified;
  const look = (): void => {
    if (isShown()) {
      signal!.disconnect(look);
      act();
    }
  };
  signal?.connect(look);
}
