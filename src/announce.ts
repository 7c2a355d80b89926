/**
 * The news of a kernel, whoever wrote it: a dialog, or a task after the dialog was closed.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONValue } from '@lumino/coreutils';
import type { Kernel } from './api';

/**
 * How long news stay that ask for nothing.
 */
export const NEWS_MS = 5_000;
const NEW_KERNEL_MS = 15_000;
const OPEN_NOTEBOOK = 'notebook:create-new';

/**
 * Say that a kernel is there, and offer to use it.
 *
 * @param cwd - the folder of the first notebook.
 */
export function announceCreated(
  commands: JupyterFrontEnd['commands'],
  trans: TranslationBundle,
  kernel: Kernel,
  cwd?: ReadonlyPartialJSONValue
): void {
  const kernelName = kernel.name;
  const open = (): void =>
    void commands.execute(OPEN_NOTEBOOK, { kernelName, cwd });
  const actions = commands.hasCommand(OPEN_NOTEBOOK)
    ? [{ label: trans.__('Open a Notebook'), callback: open }]
    : [];
  Notification.success(
    trans.__('The kernel “%1” was created.', kernel.display_name),
    { autoClose: NEW_KERNEL_MS, actions }
  );
}

/**
 * Say that a kernel is another one from now on.
 */
export function announceChanged(
  trans: TranslationBundle,
  kernel: Kernel
): void {
  Notification.success(
    trans.__(
      '“%1” was changed. Restart its running kernels to use the new configuration.',
      kernel.display_name
    ),
    { autoClose: NEWS_MS }
  );
}

/**
 * Say that the last change of a kernel was taken back.
 */
export function announceUndone(trans: TranslationBundle, kernel: Kernel): void {
  Notification.success(
    trans.__('“%1” is as it was before.', kernel.display_name),
    { autoClose: NEWS_MS }
  );
}
