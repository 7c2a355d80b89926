import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, screen, waitFor, within } from '@testing-library/dom';
import { Api, type ClusterReport, type Kernel } from '../api';
import { showKernelDialog } from '../dialog';
import { Figures } from '../dialog/figures';
import {
  closeDialogs,
  CLUSTER,
  Events,
  json,
  KERNEL,
  NO_CLUSTER,
  refuse,
  Server
} from './server';

const trans = nullTranslator.load('');

// Several pauses make a test, and the machine may do much else.
jest.setTimeout(60_000);

const NEVER: ClusterReport = {
  ...CLUSTER,
  summary: 'One executor takes 9 MiB. None can ever start.',
  fit: {
    now: 0,
    ever: false,
    advice: [
      { field: 'executor_memory', message: 'Set at most 512m.' },
      { field: 'conf', message: 'There is no such queue.' },
      { field: '', message: 'Others wait.' }
    ]
  }
};

let server: Server;

beforeEach(() => {
  server = new Server();
});

afterEach(() => {
  jest.restoreAllMocks();
});

function api(): Api {
  return new Api(ServerConnection.makeSettings());
}

function asked(): unknown[] {
  return server.sent('POST', 'cluster').map(({ body }) => body);
}

describe('the questions', () => {
  let figures: Figures;
  const changed = jest.fn();

  beforeEach(() => {
    jest.useFakeTimers();
    changed.mockClear();
    figures = new Figures(api(), trans, changed);
  });

  afterEach(() => {
    figures.dispose();
    jest.useRealTimers();
  });

  it('are asked some time after the last change, once', async () => {
    server.answers['POST cluster'] = () => json(CLUSTER);
    figures.want({ master: 'a' });
    await jest.advanceTimersByTimeAsync(500);
    figures.want({ master: 'b' });
    await jest.advanceTimersByTimeAsync(500);
    expect(asked()).toEqual([]);
    await jest.advanceTimersByTimeAsync(200);
    expect(asked()).toEqual([{ master: 'b' }]);
    expect(figures.view).toEqual({
      report: CLUSTER,
      note: null,
      isStale: false
    });
    figures.want({ master: 'b' });
    await jest.advanceTimersByTimeAsync(10_000);
    expect(asked().length).toBe(1);
  });

  it('are asked one at a time, and an answer that comes too late is dropped', async () => {
    let answer: (report: ClusterReport) => void = () => undefined;
    server.answers['POST cluster'] = () =>
      new Promise(resolve => {
        answer = report => resolve(json(report));
      });
    figures.want({ master: 'a' });
    await jest.advanceTimersByTimeAsync(1000);
    figures.want({ master: 'b' });
    await jest.advanceTimersByTimeAsync(10_000);
    expect(asked()).toEqual([{ master: 'a' }]);
    answer(NEVER);
    await jest.advanceTimersByTimeAsync(1000);
    expect(changed).not.toHaveBeenCalled();
    expect(asked()).toEqual([{ master: 'a' }, { master: 'b' }]);
    answer(CLUSTER);
    await jest.advanceTimersByTimeAsync(0);
    expect(figures.view.report).toEqual(CLUSTER);
  });

  it('wait for others who ask', async () => {
    server.answers['POST cluster'] = () =>
      refuse(429, { field: 'master', message: 'Ask again.' });
    figures.want({ master: 'a' });
    await jest.advanceTimersByTimeAsync(1000);
    server.answers['POST cluster'] = () => json(CLUSTER);
    await jest.advanceTimersByTimeAsync(5000);
    expect(asked().length).toBe(2);
    expect(figures.view.report).toEqual(CLUSTER);
  });

  it('are not asked when they are taken back, and the answer is of old values', async () => {
    server.answers['POST cluster'] = () => json(CLUSTER);
    figures.want({ master: 'a' });
    await jest.advanceTimersByTimeAsync(1000);
    figures.want({ master: 'b' });
    figures.want(null);
    await jest.advanceTimersByTimeAsync(10_000);
    expect(asked().length).toBe(1);
    expect(figures.view.isStale).toBe(true);
    figures.want({ master: 'a' });
    expect(figures.view.isStale).toBe(false);
  });

  it.each<[string, () => Response, string | null]>([
    ['403', () => refuse(403), 'You are not permitted to ask the cluster'],
    ['400', () => refuse(400, { field: 'conf', message: 'No.' }), null],
    [
      'no network',
      () => {
        throw new ServerConnection.NetworkError(new TypeError('Failed'));
      },
      null
    ]
  ])('come to nothing quietly: %s', async (_, answer, note) => {
    server.answers['POST cluster'] = answer;
    figures.want({ master: 'a' });
    await jest.advanceTimersByTimeAsync(10_000);
    expect(asked().length).toBe(1);
    expect(figures.view.report).toBeNull();
    if (note === null) {
      expect(figures.view.note).toBeNull();
    } else {
      expect(figures.view.note).toContain(note);
    }
  });
});

describe('in the dialog', () => {
  let result: Promise<Kernel | null>;

  afterEach(async () => {
    closeDialogs();
    await result;
  });

  async function open(
    options: { kernel?: Kernel; args?: Record<string, string> } = {}
  ): Promise<void> {
    const events = new Events().manager;
    result = showKernelDialog({ api: api(), events, trans, ...options });
    await waitFor(() =>
      expect(document.activeElement).toBe(screen.getByLabelText(/^Name/))
    );
  }

  function input(label: string): HTMLElement {
    return screen.getByLabelText(label);
  }

  function type(label: string, value: string): void {
    input(label).focus();
    fireEvent.change(input(label), { target: { value } });
  }

  function pause(): Promise<void> {
    return new Promise(resolve => setTimeout(resolve, 1000));
  }

  it('only what matters is sent, and a local master has nothing to say', async () => {
    await open();
    await waitFor(() => expect(asked()).toEqual([{ master: 'local[*]' }]));
    expect(screen.queryByText(NO_CLUSTER.summary)).toBeNull();
    type('Driver memory', '3g');
    await pause();
    expect(asked().length).toBe(1);
    type('Executor memory', '2g');
    await waitFor(() => expect(asked().length).toBe(2));
    expect(asked()[1]).toEqual({ master: 'local[*]', executor_memory: '2g' });
  });

  it('shows a sentence, and the figures below it', async () => {
    server.answers['POST cluster'] = () => json(CLUSTER);
    await open({ kernel: KERNEL });
    const box = (await screen.findByText(CLUSTER.summary)).closest('details');
    const rows = within(box as HTMLElement)
      .getAllByRole('row')
      .map(row => Array.from(row.children, cell => cell.textContent));
    expect(rows).toEqual([
      ['Nodes', '2'],
      ['Free cores', '3 of 8'],
      ['Free memory', '3 GiB of 8 GiB'],
      ['Largest free node', '2 GiB and 2 cores'],
      ['Applications that wait', '4'],
      ['Queue default', '2 GiB free, 0 waiting'],
      ['Queue night', 'takes no applications, no limit, 3 waiting']
    ]);
  });

  it('puts advice at its field, and says it at once when that is folded away', async () => {
    server.answers['POST cluster'] = () => json(NEVER);
    await open({ kernel: KERNEL });
    await screen.findByText(NEVER.summary);
    const said = (selector: string): string | null | undefined =>
      document.querySelector(selector)?.textContent;
    expect(said('[data-field="executor_memory"]')).toContain(
      'Hint: Set at most 512m.'
    );
    expect(said('[data-field="conf"]')).toContain('Hint: There is no such');
    const figures = said('.jp-PySparkKernels-figures');
    expect(figures).toContain('Hint: There is no such queue.');
    expect(figures).toContain('Hint: Others wait.');
    expect(figures).not.toContain('Set at most');
  });

  it('says that there is no answer', async () => {
    server.answers['POST cluster'] = () =>
      json({
        ...CLUSTER,
        capacity: null,
        fit: null,
        problem: 'It is not there.'
      });
    await open({ kernel: KERNEL });
    await screen.findByText(/The cluster did not answer\.$/);
    expect(screen.getByText('It is not there.')).toBeTruthy();
  });

  it('asks about no host that is being typed', async () => {
    await open();
    await waitFor(() => expect(asked().length).toBe(1));
    type('Master', 'spark://mas');
    await pause();
    expect(asked().length).toBe(1);
    type('Master', 'spark://master:7077');
    input('Master').blur();
    await waitFor(() => expect(asked().length).toBe(2));
    expect(asked()[1]).toEqual({ master: 'spark://master:7077' });
  });

  it('asks about no host that a command names, before a person does something', async () => {
    await open({ args: { master: 'spark://evil:1' } });
    await pause();
    expect(asked()).toEqual([]);
    type('Executor memory', '2g');
    await waitFor(() => expect(asked().length).toBe(1));
  });
});
