/**
 * What the commands for one kernel do. It is loaded when the first of them is run.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { showErrorMessage } from '@jupyterlab/apputils';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { announceChanged, announceCreated, announceUndone } from './announce';
import { Api, type Kernel } from './api';
import type { IKernelDialogOptions } from './dialog';
import { orExplain } from './explain';

/**
 * What the commands work with.
 */
export interface ICommandServices {
  app: JupyterFrontEnd;
  settings: ISettingRegistry | null;
  /** Whose settings they are. */
  plugin: string;
  trans: TranslationBundle;
}

type Arguments = ReadonlyPartialJSONObject;

/**
 * Ask for a new kernel.
 *
 * @param args - what the form is filled in with.
 */
export function create(
  services: ICommandServices,
  args: Arguments
): Promise<Kernel | null> {
  const { app, trans } = services;
  return orExplain(
    trans.__('No PySpark kernel was created'),
    trans,
    async () => {
      const settings = await formSettings(services);
      const kernel = await showDialog(services, { settings, args });
      if (kernel) {
        announceCreated(app.commands, trans, kernel, args.cwd);
      }
      return kernel;
    }
  );
}

/**
 * Ask what a kernel is to be.
 */
export function edit(
  services: ICommandServices,
  { place, name, changes }: Arguments
): Promise<Kernel | null> {
  const { trans } = services;
  return orExplain(
    trans.__('The PySpark kernel was not changed'),
    trans,
    async () => {
      const old = await connect(services).kernel(String(place), String(name));
      if (!old.config) {
        await showErrorMessage(
          trans.__('It cannot be read'),
          old.problem ?? ''
        );
        return null;
      }
      const kernel = await showDialog(services, {
        kernel: old,
        args: changes as ReadonlyPartialJSONObject
      });
      if (kernel) {
        announceChanged(trans, kernel);
      }
      return kernel;
    }
  );
}

/**
 * Take back the last change of all.
 */
export function undo(services: ICommandServices): Promise<Kernel | null> {
  const { app, trans } = services;
  return orExplain(trans.__('Nothing was undone'), trans, async () => {
    const kernel = await connect(services).undo();
    await refresh(app);
    announceUndone(trans, kernel);
    return kernel;
  });
}

function connect({ app }: ICommandServices): Api {
  return new Api(app.serviceManager.serverSettings);
}

async function showDialog(
  services: ICommandServices,
  options: Omit<IKernelDialogOptions, 'api' | 'events' | 'trans'>
): Promise<Kernel | null> {
  const { app, trans } = services;
  const { showKernelDialog } = await import('./dialog');
  const { events } = app.serviceManager;
  const api = connect(services);
  const kernel = await showKernelDialog({ api, events, trans, ...options });
  if (kernel) {
    await refresh(app);
  }
  return kernel;
}

/**
 * List the kernels anew. What was done stays done when that fails.
 */
function refresh({ serviceManager }: JupyterFrontEnd): Promise<void> {
  return serviceManager.kernelspecs
    .refreshSpecs()
    .catch(error => console.warn('The kernels were not listed:', error));
}

/**
 * Give what the user has set, and an administrator for everybody in overrides.json.
 */
async function formSettings({
  settings,
  plugin
}: ICommandServices): Promise<ReadonlyPartialJSONObject> {
  try {
    return (await settings?.load(plugin))?.composite ?? {};
  } catch (error) {
    console.warn(`The settings of ${plugin} were not read:`, error);
    return {};
  }
}
