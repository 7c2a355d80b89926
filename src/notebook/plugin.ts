import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { onceShown } from '../running/shown';
import type { Watch } from './watch';

/**
 * Nothing is loaded before a notebook has a kernel of ours, or the running sessions are shown.
 */
export const notebookPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyterlab-pyspark-kernels:notebook',
  description: 'Shows how Spark is, in notebooks and among running sessions.',
  autoStart: true,
  optional: [ITranslator, ICommandPalette, ISettingRegistry, IStatusBar],
  activate: (
    app,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    settings: ISettingRegistry | null,
    statusBar: IStatusBar | null
  ) => {
    let watch: Promise<Watch> | null = null;
    const pass = (take: (watch: Watch) => void): void => {
      watch ??= import('./watch').then(
        ({ Watch }) =>
          new Watch(app, translator ?? nullTranslator, {
            palette,
            settings,
            statusBar
          })
      );
      watch.then(take).catch(error => {
        // Perhaps the network fails just now: the next event tries again.
        watch = null;
        console.warn('Spark is not watched:', error);
      });
    };
    onceShown(app.shell, () => pass(found => found.showRunning()));
    app.docRegistry.addWidgetExtension('Notebook', {
      createNew: (panel, { sessionContext: context }) => {
        const hear = (_: unknown, event: unknown): void => {
          // Later it may be gone.
          const kernel = context.session?.kernel;
          const { specs } = app.serviceManager.kernelspecs;
          if (
            kernel &&
            specs?.kernelspecs[kernel.name]?.metadata?.pyspark_kernels
          ) {
            pass(found => found.hear(panel, context, kernel, event));
          }
        };
        context.kernelChanged.connect(hear);
        context.statusChanged.connect(hear);
        context.iopubMessage.connect(hear);
      }
    });
  }
};
