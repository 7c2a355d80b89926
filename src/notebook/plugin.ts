import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { Watch } from './watch';

/**
 * Nothing is loaded before a notebook has a kernel of ours.
 */
export const notebookPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyterlab-pyspark-kernels:notebook',
  description:
    'Shows in a notebook how Spark is, says why its kernel ended or has no Spark, and offers what helps.',
  autoStart: true,
  optional: [ITranslator, ICommandPalette],
  activate: (
    app,
    translator: ITranslator | null,
    palette: ICommandPalette | null
  ) => {
    let watch: Promise<Watch> | null = null;
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
            watch ??= import('./watch').then(
              ({ Watch }) =>
                new Watch(app, translator ?? nullTranslator, palette)
            );
            watch
              .then(found => found.hear(panel, context, kernel, event))
              .catch(error => {
                // Perhaps the network fails just now: the next event tries again.
                watch = null;
                console.warn('The notebook is not watched:', error);
              });
          }
        };
        context.kernelChanged.connect(hear);
        context.statusChanged.connect(hear);
        context.iopubMessage.connect(hear);
      }
    });
  }
};
