import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { nullTranslator } from '@jupyterlab/translation';
import { waitFor } from '@testing-library/dom';
import { Signal } from '@lumino/signaling';
import { Panel, Widget } from '@lumino/widgets';
import {
  areWorthShowing,
  durationText,
  type IActivity,
  type IJob,
  jobsOf,
  joined,
  outputOf,
  summaryOf,
  troubleOf
} from '../notebook/activity';
import { CellsProgress } from '../notebook/progress';
import type { SparkModel } from '../notebook/spark';
import './server';

const trans = nullTranslator.load('');

function job(id: number, changes: Partial<IJob> = {}): IJob {
  return {
    id,
    name: 'count',
    cell: 'm1',
    cell_id: 'c1',
    state: 'running',
    tasks: { done: 3, running: 2, failed: 0, all: 12 },
    stages: [],
    submitted: 1000 * id,
    ended: null,
    ...changes
  };
}

function ended(id: number, changes: Partial<IJob> = {}): IJob {
  const tasks = { done: 12, running: 0, failed: 0, all: 12 };
  return job(id, {
    state: 'succeeded',
    ended: 1000 * id + 900,
    tasks,
    ...changes
  });
}

function told(at: number, ...jobs: IJob[]): IActivity {
  const running = jobs.some(({ state }) => state === 'running')
    ? { jobs: 1, stages: 1, tasks: jobs[0].tasks }
    : null;
  return { running, jobs: [...jobs].reverse(), more: 0, at };
}

describe('what Spark works on', () => {
  it('is of the newest run of a cell', () => {
    const activity = told(
      9000,
      ended(1, { cell: 'm0' }),
      ended(2, { cell_id: 'c2', cell: 'm5' }),
      ended(3),
      job(4)
    );
    const ids = (cell: string, ...past: string[]): unknown =>
      jobsOf(activity, cell, new Set(past)).map(({ id }) => id);
    expect(ids('c1')).toEqual([3, 4]);
    expect(ids('c1', 'm1')).toEqual([1]);
    expect(ids('c1', 'm0', 'm1')).toEqual([]);
    expect(ids('c2')).toEqual([2]);
    expect(ids('c3')).toEqual([]);
  });

  it('keeps what is no longer told, unless it ran or is of another run', () => {
    const ids = (known: IJob[], now: IJob[]): unknown =>
      joined(known, now).map(({ id, state }) => [id, state]);
    expect(ids([ended(1), job(2)], [ended(2), job(3)])).toEqual([
      [1, 'succeeded'],
      [2, 'succeeded'],
      [3, 'running']
    ]);
    expect(ids([ended(1), job(2)], [])).toEqual([[1, 'succeeded']]);
    expect(ids([ended(1)], [job(2, { cell: 'm2' })])).toEqual([[2, 'running']]);
  });

  it('is worth showing when it takes its time', () => {
    expect(areWorthShowing([], 9000)).toBe(false);
    expect(areWorthShowing([job(1)], 1499)).toBe(false);
    expect(areWorthShowing([job(1)], 1500)).toBe(true);
    expect(areWorthShowing([ended(1, { ended: 1200 })], 9000)).toBe(false);
    expect(areWorthShowing([ended(1), ended(2)], 9000)).toBe(true);
  });

  it('is said in a line', () => {
    expect(summaryOf([job(1)], 5000, trans)).toBe(
      'Spark: 1 job, 3 of 12 tasks, 4 s'
    );
    expect(summaryOf([ended(1), ended(2)], 99_000, trans)).toBe(
      'Spark: 2 jobs, 24 tasks, 2 s'
    );
    const tasks = { done: 1, running: 0, failed: 2, all: 4 };
    const bad = ended(1, { state: 'failed', tasks });
    expect(summaryOf([bad], 0, trans)).toBe(
      'Spark: 1 job, 1 of 4 tasks, 0.9 s'
    );
    expect(troubleOf([bad], trans)).toBe('1 job failed, 2 tasks failed');
    expect(troubleOf([ended(1, { state: 'cancelled' })], trans)).toBe(
      '1 job cancelled'
    );
    expect(troubleOf([ended(1)], trans)).toBe('');
  });

  it.each([
    [0, '0.1 s'],
    [949, '0.9 s'],
    [999, '1 s'],
    [59_400, '59 s'],
    [59_600, '1 min 0 s'],
    [3_599_000, '59 min 59 s'],
    [7_320_000, '2 h 2 min']
  ])('takes %d ms', (ms, text) => {
    expect(durationText(ms, trans)).toBe(text);
  });

  it('is kept as text and as a table without markup of its names', () => {
    const name = '<script>alert(1)</script>';
    const { data } = outputOf([ended(1, { name })], 0, trans);
    expect(data['text/plain']).toContain('Spark: 1 job, 12 tasks, 0.9 s\n');
    expect(data['text/plain']).toContain(name);
    expect(data['text/html']).toContain('&lt;script&gt;');
    expect(data['text/html']).not.toContain('<script');
  });
});

/**
 * Stands in for a code cell of a notebook.
 */
class Cell extends Panel {
  constructor(id: string) {
    super();
    const outputs = new Widget();
    outputs.addClass('jp-Cell-outputWrapper');
    this.addWidget(new Widget());
    this.addWidget(outputs);
    this.model = {
      id,
      type: 'code',
      executionState: 'idle',
      outputs: { add: (output: object) => this.kept.push(output) },
      stateChanged: new Signal<unknown, { name: string }>(this)
    };
    // As JupyterLab: the model is who emits.
    this.model.stateChanged = new Signal(this.model);
  }

  become(executionState: string): void {
    this.model.executionState = executionState;
    this.model.stateChanged.emit({ name: 'executionState' });
  }

  run(message: string): void {
    this.become('running');
    this.outputArea.future = { msg: { header: { msg_id: message } } };
  }

  get text(): string | null {
    const view = this.widgets[1];
    return view.hasClass('jp-PySparkKernels-progress')
      ? view.node.textContent
      : null;
  }

  readonly kept: object[] = [];
  readonly ready = Promise.resolve();
  readonly outputArea: { future?: { msg: { header: { msg_id: string } } } } =
    {};
  readonly model: {
    id: string;
    type: string;
    executionState: string;
    outputs: { add: (output: object) => unknown };
    stateChanged: Signal<unknown, { name: string }>;
  };
}

describe('the progress under a cell', () => {
  let cell: Cell;
  let panel: Widget & { content: { widgets: Cell[] } };
  let asked: object[];
  let tell: (activity: IActivity | null) => void;
  let wish: (progress: string) => void;

  beforeEach(async () => {
    // What a job that runs takes is counted on from what was told.
    jest.spyOn(Date, 'now').mockReturnValue(1_000_000);
    cell = new Cell('c1');
    panel = Object.assign(new Widget(), { content: { widgets: [cell] } });
    Widget.attach(cell, document.body);
    asked = [];
    const model = {
      activity: null as IActivity | null,
      changed: new Signal<unknown, void>({}),
      ask: (content: object) => asked.push(content)
    };
    tell = activity => {
      model.activity = activity;
      model.changed.emit();
    };
    const settings = {
      composite: { progress: 'summary' },
      changed: new Signal<unknown, void>({})
    };
    wish = progress => {
      settings.composite.progress = progress;
      settings.changed.emit();
    };
    const registry = { load: async () => settings };
    new CellsProgress(
      panel,
      model as unknown as SparkModel,
      registry as unknown as ISettingRegistry,
      trans
    );
    await Promise.resolve();
  });

  afterEach(() => {
    jest.restoreAllMocks();
    panel.dispose();
    cell.dispose();
  });

  it('comes when a job takes its time, stays as a line, and goes with the next run', async () => {
    cell.run('m1');
    tell(told(1400, job(1)));
    await cell.ready;
    expect(cell.text).toBeNull();
    tell(told(2000, job(1)));
    await waitFor(() =>
      expect(cell.text).toBe('Spark: 1 job, 3 of 12 tasks, 1 s')
    );
    const bar = cell.node.querySelector('[role="progressbar"]');
    expect(bar?.getAttribute('aria-valuenow')).toBe('25');
    expect(bar?.getAttribute('aria-valuetext')).toBe('3 of 12 tasks');

    cell.become('idle');
    tell(told(3000, ended(1)));
    await waitFor(() =>
      expect(cell.text).toBe('Spark: 1 job, 12 tasks, 0.9 sKeep in notebook')
    );
    expect(cell.kept).toEqual([]);

    cell.run('m2');
    // Its place is kept until it is known whether there is a job again.
    await waitFor(() => expect(cell.text).toBe(''));
    tell(told(4000, ended(1)));
    expect(cell.text).toBe('');
    cell.become('idle');
    expect(cell.text).toBeNull();
  });

  it('has every job cancelled by a button of its own', async () => {
    tell(told(4000, job(1), job(2)));
    await waitFor(() => expect(cell.text).toMatch(/2 jobs/));
    const view = cell.widgets[1].node;
    const toggle = view.querySelector<HTMLElement>('[aria-expanded]');
    expect(toggle?.getAttribute('aria-expanded')).toBe('false');
    toggle?.click();
    const find = (label: string): HTMLElement | null =>
      view.querySelector(`[aria-label="${label}"]`);
    await waitFor(() => expect(find('Cancel Job 1: count')).not.toBeNull());
    find('Cancel Job 2: count')?.click();
    expect(asked).toEqual([{ request: 'cancel', job: 2 }]);
    await waitFor(() =>
      expect(
        find('Cancelling… Job 2: count')?.getAttribute('aria-disabled')
      ).toBe('true')
    );
    find('Cancelling… Job 2: count')?.click();
    expect(asked).toHaveLength(1);
    tell(told(5000, ended(1), ended(2, { state: 'cancelled' })));
    await waitFor(() => expect(cell.text).toContain('1 job cancelled'));
    expect(find('Cancel Job 1: count')).toBeNull();
  });

  it('is gone with the kernel, and with a Spark that ended', async () => {
    tell(told(4000, job(1)));
    await waitFor(() => expect(cell.text).toMatch(/1 job/));
    tell({ running: null, jobs: [], more: 0, at: 5000 });
    expect(cell.text).toBeNull();
    tell(told(6000, job(2)));
    await waitFor(() => expect(cell.text).toMatch(/1 job/));
    tell(null);
    expect(cell.text).toBeNull();
  });

  it('is kept as an output when a person says so, once', async () => {
    tell(told(4000, ended(1)));
    await waitFor(() => expect(cell.text).toMatch(/1 job/));
    const button = (): HTMLButtonElement =>
      cell.node.querySelectorAll('button')[1];
    button().click();
    await waitFor(() =>
      expect(button().textContent).toBe('Kept in the notebook')
    );
    button().click();
    expect(cell.kept).toEqual([outputOf([ended(1)], 0, trans)]);
  });

  it('is kept by the page that ran the cell, if that is what is set', async () => {
    wish('keep');
    cell.run('m1');
    tell(told(2000, job(1)));
    tell(told(3000, ended(1)));
    cell.become('idle');
    await waitFor(() => expect(cell.kept).toHaveLength(1), { timeout: 5000 });
    cell.run('of another page');
    tell(told(9000, ended(5, { cell: 'm5' })));
    cell.become('idle');
    await new Promise(resolve => window.setTimeout(resolve, 2000));
    expect(cell.kept).toHaveLength(1);
  });

  it.each(['off', 'running'])('goes as it is set: %s', async progress => {
    wish(progress);
    tell(told(4000, job(1)));
    await cell.ready;
    if (progress === 'running') {
      await waitFor(() => expect(cell.text).toMatch(/1 job/));
    }
    tell(told(5000, ended(1)));
    expect(cell.text).toBeNull();
    wish('summary');
    await waitFor(() => expect(cell.text).toMatch(/1 job/));
  });

  it('goes with the notebook', async () => {
    tell(told(4000, job(1)));
    await waitFor(() => expect(cell.text).toMatch(/1 job/));
    panel.dispose();
    expect(cell.text).toBeNull();
    tell(told(5000, job(1)));
    expect(cell.text).toBeNull();
  });
});
