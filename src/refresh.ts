import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { Event } from '@jupyterlab/services';
import { Debouncer } from '@lumino/polling';
import { TASK_EVENT } from './tasks/shown';

/**
 * The event that the server emits after every change of a kernel.
 */
export const KERNEL_EVENT =
  'https://events.jupyter.org/jupyterlab_pyspark_kernels/kernel/v1';

/**
 * Whether an event tells that the list of kernels is another one: a kernel was changed, or work has
 * been done that may have written one.
 */
export function changesKernels(event: Event.Emission): boolean {
  return (
    event.schema_id === KERNEL_EVENT ||
    (event.schema_id === TASK_EVENT && event.state === 'done')
  );
}

/**
 * Several changes within this time make one refresh.
 */
const REFRESH_DELAY_MS = 100;

export const refreshPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyterlab-pyspark-kernels:refresh',
  description: 'Lists new and changed PySpark kernels at once.',
  autoStart: true,
  activate: app => {
    const { events, kernelspecs } = app.serviceManager;
    const refresh = new Debouncer(
      () => kernelspecs.refreshSpecs(),
      REFRESH_DELAY_MS
    );
    const onEvent = (_: Event.IManager, event: Event.Emission): void => {
      if (changesKernels(event)) {
        refresh
          .invoke()
          .catch(error => console.warn('The kernels were not listed:', error));
      }
    };
    events.stream.connect(onEvent);
  }
};
