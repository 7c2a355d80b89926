import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Signal } from '@lumino/signaling';
import { KERNEL_EVENT, refreshPlugin } from '../refresh';
import { TASK_EVENT } from '../tasks/shown';

describe('the refresh plugin', () => {
  const refreshSpecs = jest.fn(async () => undefined);
  const events = {};
  const stream = new Signal<object, { schema_id: string; state?: string }>(
    events
  );

  beforeAll(() => {
    const serviceManager = {
      events: { stream },
      kernelspecs: { refreshSpecs }
    };
    void refreshPlugin.activate({
      serviceManager
    } as unknown as JupyterFrontEnd);
  });

  beforeEach(() => {
    jest.useFakeTimers();
    refreshSpecs.mockClear();
  });

  afterEach(() => jest.useRealTimers());

  it('lists the kernels once after several changes', async () => {
    stream.emit({ schema_id: KERNEL_EVENT });
    stream.emit({ schema_id: KERNEL_EVENT });
    expect(refreshSpecs).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(200);
    expect(refreshSpecs).toHaveBeenCalledTimes(1);
  });

  it('lists the kernels when a task is done, and not before', async () => {
    stream.emit({ schema_id: TASK_EVENT, state: 'running' });
    stream.emit({ schema_id: TASK_EVENT, state: 'failed' });
    await jest.advanceTimersByTimeAsync(200);
    expect(refreshSpecs).not.toHaveBeenCalled();
    stream.emit({ schema_id: TASK_EVENT, state: 'done' });
    await jest.advanceTimersByTimeAsync(200);
    expect(refreshSpecs).toHaveBeenCalledTimes(1);
  });

  it('lets other events pass', async () => {
    stream.emit({ schema_id: 'https://events.jupyter.org/other/v1' });
    stream.emit({
      schema_id: 'https://events.jupyter.org/other/v1',
      state: 'done'
    });
    await jest.advanceTimersByTimeAsync(200);
    expect(refreshSpecs).not.toHaveBeenCalled();
  });
});
