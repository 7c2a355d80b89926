import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { type Kernel, ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, screen, waitFor } from '@testing-library/dom';
import { CommandRegistry } from '@lumino/commands';
import {
  Api,
  type Kernel as OurKernel,
  type KernelConfig,
  type Receipt
} from '../api';
import { showKernelDialog } from '../dialog';
import { showReceipt } from '../manager/dialogs';
import { tellReceipt } from '../notebook/receipt';
import { SparkModel } from '../notebook/spark';
import { resize, sentenceOf } from '../receipt';
import { closeDialogs, Events, json, KERNEL, Server } from './server';

const RECEIPT: Receipt = {
  at: '2026-01-31T12:00:00.000+00:00',
  ended: 'stopped',
  complete: true,
  seconds: 300,
  busy_seconds: 20,
  core_seconds: 1200,
  task_seconds: 41,
  idle: 0.9658,
  gc_seconds: 0.5,
  local: false,
  executors: 2,
  cores: 2,
  memory_mib: 4096,
  peak_mib: 700,
  driver_memory_mib: 1024,
  driver_peak_mib: 200,
  off_heap_peak_mib: 90,
  python_peak_mib: null,
  spilled_mib: 0,
  failed_jobs: 0,
  failed_stages: 0,
  failed_tasks: 0
};
const SENTENCE =
  'Spark used 41 of 1,200 core-seconds (97% idle) and 0.7 of 4 GiB.';
const CHANGES = { executor_memory: '1g' };

const trans = nullTranslator.load('');

let server: Server;
let commands: CommandRegistry;
let executed: unknown[];
let app: JupyterFrontEnd;

beforeEach(() => {
  server = new Server();
  suggest(CHANGES);
  executed = [];
  commands = new CommandRegistry();
  for (const command of ['edit', 'create']) {
    commands.addCommand(`pyspark-kernels:${command}`, {
      execute: args => void executed.push([command, args])
    });
  }
  const serverSettings = ServerConnection.makeSettings();
  app = {
    commands,
    serviceManager: { serverSettings }
  } as unknown as JupyterFrontEnd;
});

afterEach(() => {
  closeDialogs();
  Notification.dismiss();
  jest.restoreAllMocks();
});

function suggest(changes: object, receipt: Receipt | null = RECEIPT): void {
  const remarks = [{ field: 'executor_memory', message: 'Little was used.' }];
  server.answers['GET kernels/user/demo/receipt'] = () =>
    json({ receipt, runs: 1, suggestion: { changes, remarks } });
}

function notes(): readonly Notification.INotification[] {
  return Notification.manager.notifications;
}

it('says what was used of what was held', () => {
  expect(sentenceOf(RECEIPT, trans)).toBe(SENTENCE);
});

it('tells of a Spark that has stopped, and opens the form with a size that fits', async () => {
  await tellReceipt(app, trans, 'demo', RECEIPT);
  const [{ message, options }] = notes();
  expect(message).toBe(SENTENCE);
  const [action] = options.actions ?? [];
  expect(action.label).toBe('Resize to What You Used');
  action.callback(new MouseEvent('click'));
  await waitFor(() =>
    expect(executed).toEqual([
      ['edit', { place: 'user', name: 'demo', changes: CHANGES }]
    ])
  );
});

it.each([
  ['there is nothing to change', 'demo', {}],
  ['the kernel is none of ours', 'other', CHANGES]
])('offers nothing when %s', async (_, name, changes) => {
  suggest(changes);
  await tellReceipt(app, trans, name, RECEIPT);
  expect(notes().map(({ options }) => options.actions)).toEqual([[]]);
});

it('says nothing of a Spark that did not hold much', async () => {
  await tellReceipt(app, trans, 'demo', { ...RECEIPT, core_seconds: 59.9 });
  expect(notes()).toEqual([]);
  expect(server.requests).toEqual([]);
});

it('offers a kernel like it to those who may not change it', async () => {
  await resize(commands, { ...KERNEL, writable: false }, CHANGES, trans);
  const [[command, args]] = executed as [[string, object]];
  expect(command).toBe('create');
  expect(args).toMatchObject({
    display_name: 'Demo (resized)',
    executor_memory: '1g',
    master: 'yarn'
  });
  expect(Object.keys(args)).not.toContain('name');
});

it('takes only what was told after it began to listen for news', () => {
  let tell = (_: object): void => undefined;
  const comm = {
    open: () => undefined,
    set onMsg(hear: (message: object) => void) {
      tell = status => hear({ content: { data: status } });
    }
  };
  const kernel = { handleComms: true, createComm: () => comm };
  const model = new SparkModel();
  model.follow(kernel as unknown as Kernel.IKernelConnection);
  tell({ stage: 'stopped', receipt: RECEIPT });
  expect(model.takeReceipt()).toBeNull();
  tell({ stage: 'ready', receipt: RECEIPT });
  expect(model.takeReceipt()).toBeNull();
  const next = { ...RECEIPT, at: '2026-01-31T13:00:00.000+00:00' };
  tell({ stage: 'stopped', receipt: next });
  expect(model.takeReceipt()).toEqual(next);
  expect(model.takeReceipt()).toBeNull();
});

it('shows the figures, and opens the form from there', async () => {
  const api = new Api(ServerConnection.makeSettings());
  const done = showReceipt({ api, commands, trans }, KERNEL);
  await screen.findByText('41 of 1,200 s used (97% idle)');
  screen.getByText('at least 0.7 of 4 GiB used');
  screen.getByText('2 at most, 2 cores each');
  screen.getByText('Executor memory: 1g.');
  screen.getByText('Little was used.');
  fireEvent.click(screen.getByText('Resize to What You Used…'));
  await done;
  expect(executed).toEqual([
    ['edit', { place: 'user', name: 'demo', changes: CHANGES }]
  ]);
});

it('says when there is none', async () => {
  suggest({}, null);
  const api = new Api(ServerConnection.makeSettings());
  const done = showReceipt({ api, commands, trans }, KERNEL);
  await screen.findByText('Little was used.');
  expect(screen.queryByRole('table')).toBeNull();
  fireEvent.click(screen.getByText('Close'));
  await done;
  expect(executed).toEqual([]);
});

it('fills in the form of a kernel, and says what is stored', async () => {
  const api = new Api(ServerConnection.makeSettings());
  const config = { ...KERNEL.config, executor_memory: '4g' } as KernelConfig;
  const done = showKernelDialog({
    api,
    events: new Events().manager,
    trans,
    kernel: { ...KERNEL, config } as OurKernel,
    args: { ...CHANGES, executor_cores: 2, name: 'another' }
  });
  const input = await screen.findByLabelText<HTMLInputElement>(/^Executor mem/);
  expect(input.value).toBe('1g');
  await screen.findByText(/Changed here; stored is 4g\./);
  await screen.findByText(/Changed here; nothing is stored\./);
  expect(screen.queryByText(/stored is demo/)).toBeNull();
  // Asking for what is stored is no change.
  fireEvent.change(input, { target: { value: '4g' } });
  await waitFor(() => expect(screen.queryByText(/stored is 4g/)).toBeNull());
  fireEvent.click(screen.getByText('Save'));
  await done;
  const [{ body }] = server.sent('PUT', 'kernels/user/demo');
  expect(body).toMatchObject({ name: 'demo', executor_cores: 2 });
});
