import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { DOMAIN } from '../domain';
import type { Doctor } from './doctor';

/**
 * What IPython calls the error of a cell that needs the Spark that did not start.
 */
const SPARK_ERROR = 'SparkStartError';

/**
 * What the launcher prints where a cell needs no Spark.
 */
const SPARK_WORDS = 'Spark did not start.';

/**
 * Nothing is loaded or asked for before a kernel of ours fails.
 */
export const notebookPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyterlab-pyspark-kernels:notebook',
  description:
    'Says why the kernel of a notebook ended, or has no Spark, and offers what helps.',
  autoStart: true,
  optional: [ITranslator],
  activate: (app, translator: ITranslator | null) => {
    let doctor: Promise<Doctor> | null = null;
    app.docRegistry.addWidgetExtension('Notebook', {
      createNew: (_, { sessionContext: context }) => {
        const see = (hasFailed: boolean): void => {
          // Later it may be gone.
          const kernel = context.session?.kernel;
          const { specs } = app.serviceManager.kernelspecs;
          if (
            kernel &&
            hasFailed &&
            specs?.kernelspecs[kernel.name]?.metadata?.pyspark_kernels
          ) {
            doctor ??= import('./doctor').then(
              ({ Doctor }) =>
                new Doctor(app, (translator ?? nullTranslator).load(DOMAIN))
            );
            doctor
              .then(found => found.see(context, kernel))
              .catch(error => {
                // Perhaps the network fails just now: the next failure tries again.
                doctor = null;
                console.warn('The doctor was not loaded:', error);
              });
          }
        };
        context.statusChanged.connect((_, status) =>
          see(status === 'dead' || status === 'autorestarting')
        );
        context.iopubMessage.connect((_, { content }) => {
          const { ename, text } = content as { ename?: string; text?: string };
          see(ename === SPARK_ERROR || text?.startsWith(SPARK_WORDS) === true);
        });
      }
    });
  }
};
