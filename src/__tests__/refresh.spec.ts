import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Signal } from '@lumino/signaling';
import { KERNEL_EVENT, refreshPlugin } from '../refresh';

describe('the refresh plugin', () => {
  const refreshSpecs = jest.fn(async () => undefined);
  const events = {};
  const stream = new Signal<object, { schema_id: string }>(events);

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

  it('lets other events pass', async () => {
    stream.emit({ schema_id: 'https://events.jupyter.org/other/v1' });
    await jest.advanceTimersByTimeAsync(200);
    expect(refreshSpecs).not.toHaveBeenCalled();
  });
});
